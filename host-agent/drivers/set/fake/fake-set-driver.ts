import { PlatformError, type Clock } from '@nubo/base'
import { runProbe } from '../probe.ts'
import type {
  ExecRequest,
  ExecStream,
  FoundContainer,
  FoundSet,
  ImageReference,
  LogEntry,
  LogRequest,
  ProbeResult,
  RegistryToken,
  SetContainerSpec,
  SetDriver,
  SetEvent,
  SetSpec,
  Subscription,
} from '../set-driver.ts'
import { checkSpec } from '../spec-rules.ts'
import { FakeExec } from './fake-exec.ts'
import { FakeLog } from './fake-log.ts'
import {
  defaultExecution,
  defaultProgram,
  type FakeExecution,
  type FakeProgram,
} from './fake-programs.ts'

/** The calls that a test can make fail or wait. */
export type FakeCall =
  | 'prepare'
  | 'list'
  | 'find'
  | 'ensureImage'
  | 'startSandbox'
  | 'startContainer'
  | 'stopContainer'
  | 'removeSet'
  | 'exec'

export interface FakeSetDriverOptions {
  readonly clock: Clock
  /** Runs before each call takes effect; what it throws, the call rejects with. For delays and failures by rule. */
  readonly before?: (call: FakeCall, setId: string | null) => Promise<void> | void
  /** What containers and execs do; by default the fake's own few commands (`fake-programs.ts`). */
  readonly program?: (container: SetContainerSpec) => FakeProgram
  readonly execution?: (command: readonly string[]) => FakeExecution
}

interface FakeContainer {
  found: FoundContainer
  readonly log: FakeLog
}

interface FakeSet {
  readonly spec: SetSpec
  readonly pid: number
  pause: FoundSet['pause']
  readonly containers: Map<string, FakeContainer>
}

/** What a host holds. Outlives drivers, as the real thing outlives agents. */
export class FakeSetHost {
  readonly sets = new Map<string, FakeSet>()
  readonly images = new Set<string>()
  readonly listeners = new Set<(event: SetEvent) => void>()
  /** Digests that no registry has. */
  readonly absentImages = new Set<string>()
  #isUp = true
  #next = 1

  get isUp(): boolean {
    return this.#isUp
  }

  /** Numbers for pids and ids, never given twice. */
  nextNumber(): number {
    return this.#next++
  }

  /** The engine stops answering; what runs goes on. Idempotent. */
  takeDown(): void {
    this.tell({ type: 'lost', setId: null, reason: 'the engine was taken down' })
    this.#isUp = false
  }

  /** Idempotent. */
  bringUp(): void {
    if (this.#isUp) return
    this.#isUp = true
    this.tell({ type: 'resync', setId: null })
  }

  /** Later, as from a real engine: a listener must not run inside the call that caused the event. An engine that is down tells nothing. */
  tell(event: SetEvent): void {
    if (!this.#isUp) return
    for (const listener of this.listeners) {
      queueMicrotask(() => {
        if (this.listeners.has(listener)) listener(event)
      })
    }
  }
}

/** Sets in memory: for simulated hosts and tests. Nothing runs; everything else is as with an engine. */
export class FakeSetDriver implements SetDriver {
  readonly host: FakeSetHost
  readonly #options: FakeSetDriverOptions
  readonly #failures = new Map<FakeCall, unknown[]>()
  readonly #transfers = new Map<string, Promise<void>>()

  constructor(options: FakeSetDriverOptions, host: FakeSetHost = new FakeSetHost()) {
    this.#options = options
    this.host = host
  }

  // What a test does to the host.

  /** The next `call` rejects with `error`; several are used up in order. */
  failNext(call: FakeCall, error: unknown): void {
    this.#failures.set(call, [...(this.#failures.get(call) ?? []), error])
  }

  /** Ends a running container, as if its program had. No-op if it does not run. */
  endContainer(setId: string, name: string, how: { exitCode: number; oomKilled?: boolean }): void {
    const container = this.host.sets.get(setId)?.containers.get(name)
    if (container?.found.state === 'running') this.#end(setId, container, how)
  }

  /** Ends the sandbox; its containers run on, without a network. */
  endSandbox(setId: string): void {
    const set = this.host.sets.get(setId)
    if (set === undefined || set.pause !== 'running') return
    set.pause = 'exited'
    this.host.tell({ type: 'died', setId, container: null, exitCode: 137 })
  }

  /** Ends everything and the engine at once: what a power failure leaves. `host.bringUp` is the next boot. */
  powerOff(): void {
    this.host.takeDown()
    for (const [setId, set] of this.host.sets) {
      set.pause = 'exited'
      for (const container of set.containers.values()) {
        if (container.found.state === 'running') this.#end(setId, container, { exitCode: 255 })
      }
    }
  }

  /** Appends to a container's log. */
  print(setId: string, name: string, text: string): void {
    const entry = {
      stream: 'stdout' as const,
      bytes: Buffer.from(text),
      atNs: nanoseconds(this.#options.clock.nowMs()),
    }
    this.host.sets.get(setId)?.containers.get(name)?.log.add(entry)
  }

  // What a driver does.

  async prepare(): Promise<void> {
    await this.#enter('prepare', null)
  }

  version(): { readonly name: string; readonly version: string } | null {
    return this.host.isUp ? { name: 'fake', version: '1' } : null
  }

  async list(): Promise<FoundSet[]> {
    await this.#enter('list', null)
    return [...this.host.sets.values()].map(foundOf)
  }

  async find(setId: string): Promise<FoundSet | null> {
    await this.#enter('find', setId)
    const set = this.host.sets.get(setId)
    return set === undefined ? null : foundOf(set)
  }

  async ensureImage(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void = () => {},
  ): Promise<void> {
    const { digest } = image
    if (this.host.images.has(digest)) return await this.#enter('ensureImage', null)
    const transfer =
      this.#transfers.get(digest) ??
      this.#fetch(image, auth, onProgress).finally(() => this.#transfers.delete(digest))
    this.#transfers.set(digest, transfer)
    await transfer
  }

  async startSandbox(spec: SetSpec): Promise<{ readonly pid: number }> {
    checkSpec(spec)
    await this.#enter('startSandbox', spec.setId)
    const found = this.host.sets.get(spec.setId)
    if (found !== undefined && found.spec.epoch > spec.epoch) {
      throw new PlatformError('NOT_ALLOWED_NOW', {
        setId: spec.setId,
        foundEpoch: found.spec.epoch,
      })
    }
    const isSame = found !== undefined && found.pause === 'running' && isOf(found.spec, spec)
    if (isSame) return { pid: found.pid }
    if (found !== undefined) this.#remove(spec.setId)
    const containers = spec.containers
      .filter(({ image }) => this.host.images.has(image.digest))
      .map(({ name }) => [name, this.#newContainer(name)] as const)
    const set: FakeSet = {
      spec,
      pid: this.host.nextNumber(),
      pause: 'running',
      containers: new Map(containers),
    }
    this.host.sets.set(spec.setId, set)
    this.host.tell({ type: 'started', setId: spec.setId, container: null })
    return { pid: set.pid }
  }

  async startContainer(spec: SetSpec, name: string): Promise<void> {
    checkSpec(spec)
    await this.#enter('startContainer', spec.setId)
    const container = spec.containers.find((candidate) => candidate.name === name)
    if (container === undefined)
      throw new PlatformError('INVALID_INPUT', { field: 'container', value: name })
    const set = this.host.sets.get(spec.setId)
    if (set === undefined || set.pause !== 'running' || !isOf(set.spec, spec)) {
      throw new PlatformError(
        'NOT_ALLOWED_NOW',
        { setId: spec.setId },
        { message: 'the sandbox does not run' },
      )
    }
    if (!this.host.images.has(container.image.digest)) {
      throw new PlatformError('IMAGE_PULL_FAILED', { digest: container.image.digest })
    }
    const made = set.containers.get(name) ?? this.#newContainer(name)
    set.containers.set(name, made)
    if (made.found.state !== 'running') this.#start(spec.setId, container, made)
  }

  async stopContainer(setId: string, container: string, _timeoutMs: number): Promise<void> {
    await this.#enter('stopContainer', setId)
    this.endContainer(setId, container, { exitCode: 143 })
  }

  async removeSet(setId: string): Promise<void> {
    await this.#enter('removeSet', setId)
    this.#remove(setId)
  }

  async exec(setId: string, container: string, request: ExecRequest): Promise<ExecStream> {
    await this.#enter('exec', setId)
    const found = this.host.sets.get(setId)?.containers.get(container)?.found
    if (found === undefined) throw new PlatformError('NOT_FOUND', { container })
    if (found.state !== 'running') throw new PlatformError('NOT_ALLOWED_NOW', { container })
    const execution = (this.#options.execution ?? defaultExecution)(request.command)
    return new FakeExec(execution, request)
  }

  async probe(
    setId: string,
    container: string,
    command: readonly string[],
    timeoutMs: number,
  ): Promise<ProbeResult> {
    return await runProbe(
      await this.exec(setId, container, { command }),
      this.#options.clock,
      timeoutMs,
    )
  }

  async *logs(
    setId: string,
    container: string,
    request: LogRequest,
  ): AsyncGenerator<LogEntry, void, undefined> {
    const found = this.host.sets.get(setId)?.containers.get(container)
    if (found === undefined) throw new PlatformError('NOT_FOUND', { container })
    yield* found.log.read(request)
  }

  events(listener: (event: SetEvent) => void): Subscription {
    const entry = (event: SetEvent): void => listener(event)
    this.host.listeners.add(entry)
    queueMicrotask(() => {
      if (this.host.isUp && this.host.listeners.has(entry)) entry({ type: 'resync', setId: null })
    })
    return { close: () => void this.host.listeners.delete(entry) }
  }

  async #enter(call: FakeCall, setId: string | null): Promise<void> {
    await this.#options.before?.(call, setId)
    if (!this.host.isUp)
      throw new PlatformError('ENGINE_UNAVAILABLE', {}, { message: 'the engine is down' })
    const failures = this.#failures.get(call)
    if (failures !== undefined && failures.length > 0) throw failures.shift()
  }

  async #fetch(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void,
  ): Promise<void> {
    await this.#enter('ensureImage', null)
    await auth()
    onProgress('asking the registry')
    if (this.host.absentImages.has(image.digest)) {
      throw new PlatformError('IMAGE_PULL_FAILED', { ...image }, { message: 'no such image' })
    }
    this.host.images.add(image.digest)
  }

  #newContainer(name: string): FakeContainer {
    const containerId = `fake-${this.host.nextNumber()}`
    return { found: { ...NEVER_STARTED, name, containerId }, log: new FakeLog() }
  }

  #start(setId: string, spec: SetContainerSpec, container: FakeContainer): void {
    const program = (this.#options.program ?? (({ command }) => defaultProgram(command)))(spec)
    const atMs = this.#options.clock.nowMs()
    if (program.does === 'refuse') {
      container.found = {
        ...container.found,
        state: 'exited',
        exitCode: 127,
        error: program.reason,
      }
      throw new PlatformError(
        'CONTAINER_START_FAILED',
        { container: spec.name },
        { message: program.reason },
      )
    }
    container.found = {
      ...NEVER_STARTED,
      name: spec.name,
      containerId: container.found.containerId,
      state: 'running',
      startedAtMs: atMs,
    }
    container.log.reopen()
    this.host.tell({ type: 'started', setId, container: spec.name })
    for (const chunk of program.prints) container.log.add({ ...chunk, atNs: nanoseconds(atMs) })
    if (program.does === 'exit') this.#end(setId, container, { exitCode: program.exitCode })
  }

  #end(
    setId: string,
    container: FakeContainer,
    how: { exitCode: number; oomKilled?: boolean },
  ): void {
    container.found = {
      ...container.found,
      state: 'exited',
      exitCode: how.exitCode,
      oomKilled: how.oomKilled === true,
      finishedAtMs: this.#options.clock.nowMs(),
    }
    container.log.end()
    this.host.tell({ type: 'died', setId, container: container.found.name, exitCode: how.exitCode })
  }

  #remove(setId: string): void {
    const set = this.host.sets.get(setId)
    if (set === undefined) return
    for (const container of set.containers.values()) {
      if (container.found.state === 'running') this.#end(setId, container, { exitCode: 137 })
      else container.log.end()
    }
    if (set.pause === 'running')
      this.host.tell({ type: 'died', setId, container: null, exitCode: 137 })
    this.host.sets.delete(setId)
  }
}

const NEVER_STARTED = {
  state: 'created',
  exitCode: null,
  oomKilled: false,
  startedAtMs: null,
  finishedAtMs: null,
  error: null,
} as const

function isOf(a: SetSpec, b: SetSpec): boolean {
  return a.epoch === b.epoch && a.specHash === b.specHash
}

function foundOf(set: FakeSet): FoundSet {
  const { setId, epoch, specHash } = set.spec
  const containers = [...set.containers.values()].map(({ found }) => found)
  return {
    setId,
    epoch,
    specHash,
    pause: set.pause,
    pausePid: set.pause === 'running' ? set.pid : null,
    containers: containers.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  }
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.floor(ms)) * 1_000_000n
}
