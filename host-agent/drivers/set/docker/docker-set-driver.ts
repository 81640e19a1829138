import { existsSync } from 'node:fs'
import { explain, PlatformError, type Clock } from '@nubo/base'
import { run, type Log } from '@nubo/runtime/process'
import { DockerClient, isDockerError } from '@nubo/wire-docker'
import { KeyedLock } from '../keyed-lock.ts'
import { runProbe } from '../probe.ts'
import type {
  ExecRequest,
  ExecStream,
  FoundSet,
  ImageReference,
  LogEntry,
  LogRequest,
  ProbeResult,
  RegistryToken,
  SetDriver,
  SetEvent,
  SetSpec,
  Subscription,
} from '../set-driver.ts'
import { checkSpec } from '../spec-rules.ts'
import { SetCgroups } from './cgroups.ts'
import { engineError } from './engine-errors.ts'
import { ExecStreams } from './exec-streams.ts'
import { FoundSets } from './found-sets.ts'
import { ImageStore } from './image-store.ts'
import { memberName } from './labels.ts'
import { Members } from './members.ts'
import { PauseImageLoader } from './pause-image.ts'
import { SandboxLinks } from './sandbox-links.ts'
import { Sandboxes } from './sandboxes.ts'
import { SetEvents } from './set-events.ts'
import { StartSlots } from './start-slots.ts'

const API_VERSION_MIN = 1.41
/** dockerd starts 8 or 9 containers a second on two cores; more at once only makes each of them slower. */
const PARALLEL_STARTS_DEFAULT = 4

export interface DockerSetDriverOptions {
  /** The engine's Unix socket. */
  readonly socketPath: string
  /** Below which all sets live, as Docker wants it: `/nubo/h1`. */
  readonly cgroupParent: string
  readonly clock: Clock
  readonly log: Log
  /** Containers that start at once. */
  readonly parallelStartsMax?: number
}

/** Sets on Docker Engine 20.10 or later, with cgroups and links of our own. Runs in the network namespace of the switch. */
export class DockerSetDriver implements SetDriver {
  readonly #docker: DockerClient
  readonly #clock: Clock
  readonly #log: Log
  readonly #cgroups: SetCgroups
  readonly #links = new SandboxLinks()
  readonly #pauseImage: PauseImageLoader
  readonly #images: ImageStore
  readonly #found: FoundSets
  readonly #members: Members
  readonly #sandboxes: Sandboxes
  readonly #execs: ExecStreams
  readonly #events: SetEvents
  readonly #locks = new KeyedLock()
  #version: string | null = null
  #isCleaning = false

  constructor(options: DockerSetDriverOptions) {
    const docker = new DockerClient({ socketPath: options.socketPath })
    const cgroups = new SetCgroups({ parent: options.cgroupParent })
    const links = this.#links
    const slots = new StartSlots(options.parallelStartsMax ?? PARALLEL_STARTS_DEFAULT)
    this.#docker = docker
    this.#clock = options.clock
    this.#log = options.log
    this.#cgroups = cgroups
    this.#pauseImage = new PauseImageLoader(docker)
    this.#images = new ImageStore(docker)
    this.#found = new FoundSets({ docker, cgroups, links })
    this.#members = new Members({ docker, cgroups, images: this.#images, slots })
    this.#sandboxes = new Sandboxes({
      docker,
      cgroups,
      links,
      slots,
      found: this.#found,
      members: this.#members,
      pauseImage: this.#pauseImage,
      hasIpv6: existsSync('/proc/sys/net/ipv6'),
    })
    this.#execs = new ExecStreams(docker)
    this.#events = new SetEvents({
      docker,
      cgroups,
      onBug: (error) => this.#log.error('events of sets ended', { error }),
    })
  }

  async prepare(): Promise<void> {
    await this.#checkEngine()
    await this.#checkPrograms()
    await this.#pauseImage.load()
    await this.#finishLinks()
    await this.#removeEmptyCgroups(new Set())
  }

  version(): { readonly name: string; readonly version: string } | null {
    return this.#version === null ? null : { name: 'docker', version: this.#version }
  }

  async list(): Promise<FoundSet[]> {
    const sets = await this.#found.read()
    this.#cleanUp(new Set(sets.map(({ setId }) => setId)))
    return sets
  }

  async find(setId: string): Promise<FoundSet | null> {
    const sets = await this.#found.read(setId)
    // One name, one container: two epochs of a set can only meet where somebody renamed containers by hand.
    return sets.toSorted((a, b) => b.epoch - a.epoch)[0] ?? null
  }

  async ensureImage(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void = () => {},
  ): Promise<void> {
    await this.#images.ensure(image, auth, onProgress)
  }

  async startSandbox(spec: SetSpec): Promise<{ readonly pid: number }> {
    checkSpec(spec)
    return await this.#locks.run(spec.setId, async () => await this.#sandboxes.start(spec))
  }

  async startContainer(spec: SetSpec, container: string): Promise<void> {
    checkSpec(spec)
    await this.#members.start(spec, container)
  }

  async stopContainer(setId: string, container: string, timeoutMs: number): Promise<void> {
    try {
      await this.#docker.containers.stop(memberName(setId, container), Math.ceil(timeoutMs / 1000))
    } catch (error) {
      if (!isDockerError(error, 'not_found'))
        throw engineError(error, `stop ${container}`, 'IN_USE')
    }
  }

  async removeSet(setId: string): Promise<void> {
    await this.#locks.run(setId, async () => await this.#sandboxes.remove(setId))
  }

  async exec(setId: string, container: string, request: ExecRequest): Promise<ExecStream> {
    return await this.#execs.start(setId, container, request)
  }

  async probe(
    setId: string,
    container: string,
    command: readonly string[],
    timeoutMs: number,
  ): Promise<ProbeResult> {
    return await runProbe(await this.exec(setId, container, { command }), this.#clock, timeoutMs)
  }

  async *logs(
    setId: string,
    container: string,
    request: LogRequest,
  ): AsyncGenerator<LogEntry, void, undefined> {
    try {
      yield* this.#docker.containers.logs(memberName(setId, container), request)
    } catch (error) {
      // The caller ended it; that is an end, not an error.
      if (request.signal?.aborted === true) return
      if (!isDockerError(error, 'not_found'))
        throw engineError(error, `logs of ${container}`, 'NOT_FOUND')
      throw new PlatformError(
        'NOT_FOUND',
        { container },
        { message: 'there is no such container', cause: error },
      )
    }
  }

  events(listener: (event: SetEvent) => void): Subscription {
    return this.#events.add(listener)
  }

  /** Closes connections; what runs on the host runs on. Idempotent. */
  close(): void {
    this.#docker.close()
  }

  async #checkEngine(): Promise<void> {
    try {
      const [version, state] = await Promise.all([this.#docker.version(), this.#docker.state()])
      this.#version = version.version
      const trouble =
        Number(version.apiVersion) < API_VERSION_MIN
          ? `the engine speaks API ${version.apiVersion}; ${API_VERSION_MIN} is needed`
          : state.cgroupDriver !== 'cgroupfs'
            ? `the engine's cgroup driver is ${state.cgroupDriver}; start it with --exec-opt native.cgroupdriver=cgroupfs`
            : Number(state.cgroupVersion) !== this.#cgroups.version
              ? `the engine uses cgroup v${state.cgroupVersion}, this host has v${this.#cgroups.version} at its usual place`
              : null
      if (trouble !== null) throw new PlatformError('SETUP_FAILED', {}, { message: trouble })
      // Without it every container ends with the engine.
      if (!state.isLiveRestore) this.#log.warn('the engine runs without --live-restore')
    } catch (error) {
      throw engineError(error, 'ask the engine', 'ENGINE_UNAVAILABLE')
    }
  }

  async #checkPrograms(): Promise<void> {
    const programs = [
      ['ip', '-Version'],
      ['nsenter', '--version'],
      ['ethtool', '--version'],
    ] as const
    await Promise.all(
      programs.map(async (argv) => {
        await run({ argv }).catch((cause: unknown) => {
          throw new PlatformError(
            'SETUP_FAILED',
            { program: argv[0] },
            { message: `${argv[0]} cannot be run`, cause },
          )
        })
      }),
    )
  }

  /** An agent that was killed between the last two steps of a network left checksums to hardware that is not there. */
  async #finishLinks(): Promise<void> {
    for (const { container, labels } of await this.#found.containers()) {
      const { pid } = container
      if (labels.container !== null || pid === null || labels.links.length === 0) continue
      if (!(await this.#links.areComplete(pid, labels.links))) continue
      const names = labels.links.map(({ name }) => name)
      await this.#links.turnOffloadsOff(pid, names).catch((error: unknown) => {
        // It may have ended in this moment; if not, its next start is complete or none.
        this.#log.warn('checksums of a set could not be set', { setId: labels.setId, error })
      })
    }
  }

  /** In the background, because a cgroup that is still in use is waited for. */
  #cleanUp(present: ReadonlySet<string>): void {
    if (this.#isCleaning) return
    this.#isCleaning = true
    void this.#removeEmptyCgroups(present)
      .catch((error: unknown) =>
        this.#log.warn('cgroups could not be looked through', { cause: explain(error) }),
      )
      .finally(() => (this.#isCleaning = false))
  }

  /**
   * An agent that was killed at the end of a removal, or a removal that met a process in its last moments, left cgroups
   * that belong to no container any more.
   */
  async #removeEmptyCgroups(present: ReadonlySet<string>): Promise<void> {
    for (const setId of await this.#cgroups.list()) {
      if (present.has(setId)) continue
      await this.#locks.run(setId, async () => {
        if ((await this.#found.containers(setId)).length > 0) return
        await this.#cgroups.remove(setId).catch((error: unknown) => {
          this.#log.warn('cgroups of a removed set are still in use', { setId, error })
        })
      })
    }
  }
}
