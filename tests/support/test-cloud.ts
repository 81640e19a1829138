/**
 * A real cloud for tests: the lab with its engines, in a home of its own under the temporary folder, so that it lives
 * beside any other. Programs of it can be killed, and `restore` brings it back to health between tests.
 */
import { chmodSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type Client } from '@nubo/client'
import type { Host, SetView } from '@nubo/contracts'
import { createLab, type Lab, type LabStatus, type ProcessStatus } from '@nubo/lab'
import { findProcess, run, signalProcess, systemClock, systemRandom } from '@nubo/runtime'
import { DockerClient } from '@nubo/wire-docker'
import pg from 'pg'
import { busyboxTar } from './busybox.ts'
import { Tenant, type EngineContainer } from './tenant.ts'
import { waitUntil } from './wait.ts'

const RETURN_TIMEOUT_MS = 60_000
const PROBE_PORT = 7_444

export class TestCloud {
  readonly lab: Lab
  readonly operator: Client
  readonly #folder: string
  readonly #engines = new Map<string, DockerClient>()
  readonly #unprobed = new Set<string>()
  readonly #agentsKeptOff = new Set<string>()
  #image: Buffer | undefined

  private constructor(lab: Lab, folder: string) {
    this.lab = lab
    this.#folder = folder
    this.operator = lab.client()
  }

  static async start(options: { hosts?: number } = {}): Promise<TestCloud> {
    await removeLeftovers()
    const folder = mkdtempSync(join(tmpdir(), `ns-${process.pid}-`))
    chmodSync(folder, 0o711) // the database runs as another user
    const lab = createLab({ home: join(folder, 'c') })
    try {
      await lab.up({ hosts: options.hosts ?? 3 })
      return new TestCloud(lab, folder)
    } catch (error) {
      await lab.down({ purge: true })
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Ends the cloud and removes everything of it. Idempotent. */
  async close(): Promise<void> {
    for (const engine of this.#engines.values()) engine.close()
    await this.lab.down({ purge: true })
    rmSync(this.#folder, { recursive: true, force: true })
  }

  // ---- tenants ----

  /** A project with the image `busybox`, and a client that may change it. */
  async tenant(name: string): Promise<Tenant> {
    await this.operator.projectCreate({ body: { name } })
    const token = await this.operator.tokenCreate({ body: { name, project: name } })
    const client = this.clientWith(token.secret)
    this.#image ??= await busyboxTar()
    const bytes = this.#image
    await client.imageImport({
      query: { name: 'busybox', command: ['sh'] },
      open: async function* () {
        yield bytes
      },
    })
    return new Tenant(this, client)
  }

  clientWith(token: string): Client {
    const { servers } = this.lab.access()
    return createClient({ servers, token, clock: systemClock, random: systemRandom })
  }

  // ---- programs ----

  async status(): Promise<LabStatus> {
    const status = await this.lab.status()
    if (status === undefined) throw new Error('the lab does not run')
    return status
  }

  /** As `h1-agent`, `server-s1`, `supervisor`. */
  async process(name: string): Promise<ProcessStatus> {
    const found = (await this.status()).processes.find((one) => one.name === name)
    if (found === undefined) throw new Error(`the lab has no program ${name}`)
    return found
  }

  async pidOf(name: string): Promise<number> {
    const { pid } = await this.process(name)
    if (pid === null) throw new Error(`${name} does not run`)
    return pid
  }

  /** SIGKILL; returns its pid at once. The lab starts it again after a moment. */
  async kill(name: string): Promise<number> {
    const pid = await this.pidOf(name)
    signalProcess(pid, 'SIGKILL')
    return pid
  }

  /** Waits until a program runs under another pid than before. */
  async runsAgain(name: string, pidBefore: number): Promise<void> {
    await waitUntil(
      () => this.process(name),
      ({ state, pid }) => state === 'running' && pid !== pidBefore,
      { timeoutMs: RETURN_TIMEOUT_MS, what: `${name} runs again` },
    )
  }

  async killAndReturn(name: string): Promise<void> {
    await this.runsAgain(name, await this.kill(name))
  }

  /**
   * Other hosts do not hear this one any more when they look for it, though guests still reach each other: its underlay
   * drops these datagrams and no others.
   */
  async cutProbes(host: string): Promise<void> {
    this.#unprobed.add(host)
    await this.#ofctl(host, 'add-flow', `priority=1000,udp,tp_dst=${PROBE_PORT},actions=drop`)
  }

  async healProbes(host: string): Promise<void> {
    await this.#ofctl(host, 'del-flows', `udp,tp_dst=${PROBE_PORT}`)
    this.#unprobed.delete(host)
  }

  async #ofctl(host: string, verb: string, flow: string): Promise<void> {
    const bridge = `unix:${this.lab.home.host(host).run}/br-phy.mgmt`
    await run({ argv: ['ovs-ofctl', verb, bridge, flow] })
  }

  /** SIGKILL, and whatever is started in its place ends before it does anything: it does not know who it is. */
  async killAgentForGood(host: string): Promise<void> {
    const file = this.#identityOf(host)
    renameSync(file, `${file}.aside`)
    this.#agentsKeptOff.add(host)
    await this.kill(`${host}-agent`)
  }

  /** Its agent can live again; the lab starts it after a moment. */
  letAgentLive(host: string): void {
    const file = this.#identityOf(host)
    renameSync(`${file}.aside`, file)
    this.#agentsKeptOff.delete(host)
  }

  #identityOf(host: string): string {
    return join(this.lab.home.host(host).agentState, 'identity.json')
  }

  /** What is placed meanwhile, without a word where, is placed on this host; later it may be anywhere. */
  async placing<Value>(host: string, work: () => Promise<Value>): Promise<Value> {
    const { hosts } = await this.status()
    const others = hosts.filter(({ name }) => name !== host)
    for (const { name } of others) await this.operator.hostCordon({ params: { id: name } })
    try {
      return await work()
    } finally {
      for (const { name } of others) await this.operator.hostUncordon({ params: { id: name } })
    }
  }

  async hostIs(name: string, state: Host['state']): Promise<void> {
    await waitUntil(
      () => this.operator.hostShow({ params: { id: name } }),
      (host) => host.state === state,
      { timeoutMs: RETURN_TIMEOUT_MS, what: `host ${name} is ${state}` },
    )
  }

  /** Waits until so many more heartbeats of a host have been recorded. */
  async beats(name: string, count: number): Promise<void> {
    const { id } = await this.operator.hostShow({ params: { id: name } })
    const socket = encodeURIComponent(this.lab.home.postgresRun)
    const client = new pg.Client({ connectionString: `postgresql://nubo@${socket}:5432/nubo` })
    await client.connect()
    try {
      const read = async (): Promise<number> => {
        const asked = 'select beats::int as beats from host_liveness where host_id = $1'
        return (await client.query<{ beats: number }>(asked, [id])).rows[0]?.beats ?? 0
      }
      const before = await read()
      await waitUntil(read, (beats) => beats >= before + count, {
        timeoutMs: RETURN_TIMEOUT_MS,
        what: `${count} heartbeats of ${name} are recorded`,
      })
    } finally {
      await client.end()
    }
  }

  /** Every host on, every cable in, heard by the others, every program running, every host ready. */
  async restore(): Promise<void> {
    const { hosts } = await this.status()
    for (const { name, power, cutCables } of hosts) {
      if (power === 'off') await this.lab.powerOn(name)
      if (cutCables.length > 0) await this.lab.heal(name)
    }
    for (const name of this.#unprobed) await this.healProbes(name)
    for (const name of this.#agentsKeptOff) this.letAgentLive(name)
    await waitUntil(
      () => this.status(),
      ({ processes }) => processes.every(({ state }) => state === 'running'),
      { timeoutMs: RETURN_TIMEOUT_MS, what: 'all programs run' },
    )
    for (const { name } of hosts) await this.hostIs(name, 'ready')
  }

  // ---- what the engines have ----

  engine(host: string): DockerClient {
    let engine = this.#engines.get(host)
    if (engine === undefined) {
      engine = new DockerClient({ socketPath: this.lab.home.host(host).dockerSocket })
      this.#engines.set(host, engine)
    }
    return engine
  }

  /** The containers of a set that run on its host, by name. */
  async containersOf(set: SetView): Promise<EngineContainer[]> {
    if (set.host === null) return []
    const engine = this.engine(set.host)
    const listed = await engine.containers.list({ label: [`nubo.set=${set.id}`] })
    const running = listed.filter(({ status }) => status === 'running')
    const found = await Promise.all(
      running.map(async ({ id, labels }) => {
        const { pid, startedAtMs } = await engine.containers.inspect(id)
        const name = labels['nubo.container'] ?? 'pause'
        return { id, name, pid: pid ?? 0, startedAtMs: startedAtMs ?? 0 }
      }),
    )
    return found.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  async container(set: SetView, name: string): Promise<EngineContainer> {
    const found = (await this.containersOf(set)).find((one) => one.name === name)
    if (found === undefined) throw new Error(`no container ${name} of set ${set.name} runs`)
    return found
  }

  /** Path of the network namespace of a set that runs. */
  async netnsOf(set: SetView): Promise<string> {
    return `/proc/${(await this.container(set, 'pause')).pid}/ns/net`
  }
}

/** Ends clouds whose test process is gone. */
async function removeLeftovers(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(/^ns-(\d+)-/.exec(name)?.[1])
    if (!Number.isInteger(pid) || findProcess(pid) !== undefined) continue
    const folder = join(tmpdir(), name)
    await createLab({ home: join(folder, 'c') }).down({ purge: true })
    rmSync(folder, { recursive: true, force: true })
  }
}
