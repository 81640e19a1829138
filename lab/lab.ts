/** A lab as programs hold it: `nubo up` and its relatives, the system tests and the benches. */
import { chmodSync, mkdirSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { resolve } from 'node:path'
import { PlatformError } from '@nubo/base'
import { createClient, type Client } from '@nubo/client'
import { start, systemClock, systemRandom } from '@nubo/runtime'
import { findCgroupTrees, LabCgroups } from './cgroups.ts'
import { nodeProgram } from './checkout.ts'
import { DEFAULT_HOME, labHome, realFolder, type LabHome } from './home.ts'
import type { Cable } from './lab-host.ts'
import { cleanLeftovers } from './leftovers.ts'
import { withLock } from './lock.ts'
import { lastLines, rotateLog } from './logs.ts'
import { Machine } from './machine.ts'
import { chooseFreePorts, findListeners, requireFree, type Listener } from './ports.ts'
import {
  HOSTS_MAX,
  makeHome,
  purgeHome,
  readState,
  requireLabHome,
  writeState,
  type LabHost,
  type LabState,
} from './state.ts'
import type { LabStatus } from './status.ts'
import type { Tell } from './steps.ts'
import { SupervisorClient } from './supervisor-client.ts'
import { chooseUnderlay, Underlay, underlayPlan } from './underlay.ts'
import { waitUntil } from './wait.ts'

const HOSTS_DEFAULT = 3
const RACKS = 2
const LOCK_WAIT_MS = 2_000
const SUPERVISOR_READY_TIMEOUT_MS = 15_000
const SUPERVISOR_END_TIMEOUT_MS = 5_000
const DISK_FREE_BYTES_MIN = 2 ** 30
const LOOPBACK = '127.0.0.1'
// The default home has the ports that the guides name; others look from here, and leave them alone.
const API_PORT = 7_480
const API_PORT_OTHERS = 17_480
const HOST_CONTRACT_PORT = 7_443
const REGISTRY_PORT = 5_000
// Receive buffers of packet sockets are as large as this setting at their making. With the usual 208 KiB a burst of
// TCP loses packets at every switch.
const RECEIVE_BUFFER_SETTING = '/proc/sys/net/core/rmem_default'
const RECEIVE_BUFFER_BYTES = 4 * 2 ** 20
// Made by `ip netns`, containerd's shims and dockerd wherever their own folders are.
const SHARED_FOLDERS = [
  '/run/netns',
  '/run/containerd',
  '/run/containerd/s',
  '/run/docker',
  '/run/docker/plugins',
]

export interface LabOptions {
  /** Default /var/lib/nubo. */
  home?: string
  /** Keeps compiled programs, so that they start faster. */
  nodeCompileCache?: string | undefined
  /** An external PostgreSQL instead of our own; kept from the first `up` on. */
  databaseUrl?: string | undefined
}

export interface UpOptions {
  /** Default 3, or as many as there are. More than there are adds hosts; fewer is refused. */
  hosts?: number | undefined
  /** First of two ports for the API, instead of the ones chosen at the first `up`. */
  apiPort?: number | undefined
  /** Whether the servers can switch hosts off (default: yes). Without it a lost host is fenced by its lease. */
  power?: boolean | undefined
  tell?: Tell
}

export interface Lab {
  readonly home: LabHome
  /** Everything on and ready; idempotent. When it fails, nothing that it started is left running. */
  up(options?: UpOptions): Promise<LabStatus>
  /** Ends everything, also what a killed lab left; with `purge` the home goes too. Idempotent. */
  down(options?: { purge?: boolean; tell?: Tell }): Promise<void>
  /** Undefined if no lab runs here. */
  status(): Promise<LabStatus | undefined>
  powerOff(host: string): Promise<void>
  powerOn(host: string): Promise<void>
  /** Default: both cables. */
  cut(host: string, cables?: readonly Cable[]): Promise<void>
  heal(host: string): Promise<void>
  /** Addresses of the API and the operator's token. Throws SETUP_FAILED before the first `up`. */
  access(): { servers: string[]; token: string }
  /** A client with the operator's token. */
  client(): Client
}

/** Describes a lab; nothing is made or started before `up`. Throws INVALID_INPUT for a home that cannot be one. */
export function createLab(options: LabOptions = {}): Lab {
  const home = labHome(realFolder(resolve(options.home ?? DEFAULT_HOME)))
  return new MachineLab(home, options)
}

class MachineLab implements Lab {
  readonly home: LabHome
  readonly #options: LabOptions
  readonly #machine = new Machine()
  readonly #supervisor: SupervisorClient

  constructor(home: LabHome, options: LabOptions) {
    this.home = home
    this.#options = options
    this.#supervisor = new SupervisorClient(home.socket)
  }

  async up({
    hosts,
    apiPort,
    power = true,
    tell = () => undefined,
  }: UpOptions = {}): Promise<LabStatus> {
    requireRoot()
    return this.#locked('up', async () => {
      const isRunning = await this.#isRunning()
      if (isRunning && apiPort !== undefined) {
        throw new PlatformError('NOT_ALLOWED_NOW', {
          field: 'api-port',
          next: 'run `nubo down` first',
        })
      }
      if (!isRunning) {
        makeHome(this.home)
        await this.#clean(tell)
        for (const folder of [this.home.log, this.home.run]) {
          mkdirSync(folder, { recursive: true })
          chmodSync(folder, 0o711) // whatever the umask: the database's account must be able to pass
        }
      }
      try {
        const state = isRunning ? this.#requireState() : await this.#prepareStart(apiPort)
        const wanted = wantedHosts(state, hosts)
        if (!isRunning) await this.#startSupervisor()
        await this.#supervisor.work('up', { hosts: wanted, power }, tell)
      } catch (error) {
        if (!isRunning) await this.#endAll(tell, true)
        throw error
      }
      return this.#supervisor.status()
    })
  }

  async down({
    purge = false,
    tell = () => undefined,
  }: { purge?: boolean; tell?: Tell } = {}): Promise<void> {
    requireRoot()
    await this.#locked('down', async () => {
      // What runs must be endable, also when its home was removed by hand, wholly or in part.
      if (!this.#machine.knows(this.home) && !this.#cgroups().exists()) requireLabHome(this.home)
      let endsItself = false
      if (await this.#isRunning()) {
        try {
          await this.#supervisor.work('stop', undefined, tell)
          endsItself = true
        } catch (error) {
          tell({
            at: 'note',
            text: `${error instanceof Error ? error.message : String(error)} Ending it by force.`,
          })
        }
      }
      await this.#endAll(tell, endsItself)
      if (purge) purgeHome(this.home)
    })
  }

  async status(): Promise<LabStatus | undefined> {
    requireRoot()
    return (await this.#isRunning()) ? this.#supervisor.status() : undefined
  }

  async powerOff(host: string): Promise<void> {
    await this.#change('power-off', { host })
  }

  async powerOn(host: string): Promise<void> {
    await this.#change('power-on', { host })
  }

  async cut(host: string, cables: readonly Cable[] = ['mgmt', 'data']): Promise<void> {
    await this.#change('cut', { host, cables })
  }

  async heal(host: string): Promise<void> {
    await this.#change('heal', { host })
  }

  access(): { servers: string[]; token: string } {
    const { ports } = this.#requireState()
    return {
      servers: ports.api.map((port) => `http://${LOOPBACK}:${port}`),
      token: readFileSync(this.home.operatorTokenFile, 'utf8').trim(),
    }
  }

  client(): Client {
    return createClient({ ...this.access(), clock: systemClock, random: systemRandom })
  }

  async #change(verb: 'power-off' | 'power-on' | 'cut' | 'heal', body: unknown): Promise<void> {
    requireRoot()
    if (!(await this.#isRunning())) throw notRunning(this.home)
    await this.#supervisor.change(verb, body)
  }

  #isRunning(): Promise<boolean> {
    return this.#supervisor.isAlive()
  }

  #requireState(): LabState {
    const state = readState(this.home)
    if (state === undefined) throw notRunning(this.home)
    return state
  }

  #cgroups(): LabCgroups {
    return new LabCgroups(findCgroupTrees(), this.home.id)
  }

  async #locked<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
    return withLock(
      { name: `lab${this.home.folder}`, doing: `nubo ${doing}`, waitMs: LOCK_WAIT_MS },
      work,
    )
  }

  /** Names, ports and ranges are claimed, and everything that could be in the way is looked at, before a start. */
  async #prepareStart(apiPort: number | undefined): Promise<LabState> {
    const { home } = this
    const disk = statfsSync(home.folder)
    if (disk.bavail * disk.bsize < DISK_FREE_BYTES_MIN) {
      throw new PlatformError(
        'SETUP_FAILED',
        {
          path: home.folder,
          freeBytes: disk.bavail * disk.bsize,
          next: 'free at least 1 GiB there',
        },
        { message: `The disk under ${home.folder} is full.` },
      )
    }
    const known = readState(home)
    const claim = await this.#machine.claim(home, async (taken) => ({
      underlayIndex: await chooseUnderlay({
        wanted: known?.underlayIndex,
        taken: taken.map((other) => other.underlayIndex),
        first: home.id === 'nubo' ? 0 : home.id.charCodeAt(2) + home.id.charCodeAt(3),
        ownLink: new Underlay(home.id, underlayPlan(0)).serverLink,
      }),
      ports: choosePorts(
        home,
        known,
        apiPort,
        taken.flatMap((other) => other.ports),
      ),
    }))
    const [first = 0, second = 0, contract = 0, registry = 0] = claim.ports
    const state: LabState = {
      version: 1,
      underlayIndex: claim.underlayIndex,
      ports: { api: [first, second], hostContract: [contract, contract + 1], registry },
      hosts: known?.hosts ?? [],
      ...optional('databaseUrl', known?.databaseUrl ?? this.#options.databaseUrl),
    }
    requirePorts(state)
    writeState(home, state)
    await this.#machine.noteFolders(SHARED_FOLDERS)
    await this.#machine.raiseSetting(RECEIVE_BUFFER_SETTING, RECEIVE_BUFFER_BYTES)
    return state
  }

  async #startSupervisor(): Promise<void> {
    const { home } = this
    const logFile = home.logOf('supervisor')
    rotateLog(logFile)
    const program = start({
      argv: nodeProgram('lab/supervisor.ts', '--home', home.folder),
      env: { NODE_COMPILE_CACHE: this.#options.nodeCompileCache },
      logFile,
      cgroups: this.#cgroups().enter('supervisor'),
    })
    program.release()
    const ended = new AbortController()
    void program.exited.then(() =>
      ended.abort(
        new PlatformError(
          'SETUP_FAILED',
          { next: `see ${logFile}` },
          { message: `The supervisor ended at once; its last words: ${lastLines(logFile)}` },
        ),
      ),
    )
    await waitUntil('the supervisor answers', () => this.#isRunning(), {
      timeoutMs: SUPERVISOR_READY_TIMEOUT_MS,
      signal: ended.signal,
    })
  }

  /** After this nothing of the lab is left but its home. A supervisor that `endsItself` is given time for it. */
  async #endAll(tell: Tell, endsItself: boolean): Promise<void> {
    const cgroups = this.#cgroups()
    await waitUntil('the supervisor ends', () => cgroups.processes('supervisor').length === 0, {
      timeoutMs: endsItself ? SUPERVISOR_END_TIMEOUT_MS : 0,
    }).catch(() => undefined)
    await this.#clean(tell)
    rmSync(this.home.cliConfig, { force: true })
    await this.#machine.release(this.home)
  }

  async #clean(tell: Tell): Promise<void> {
    this.#machine.requireOwnId(this.home)
    const found = await cleanLeftovers(this.home, this.#cgroups())
    if (found.length > 0)
      tell({ at: 'note', text: `Removed what an earlier lab left: ${found.join(', ')}.` })
  }
}

function choosePorts(
  home: LabHome,
  known: LabState | undefined,
  apiPort: number | undefined,
  taken: readonly number[],
): number[] {
  const listeners = findListeners()
  const api = apiPorts(home, known, apiPort, { listeners, taken })
  // On an address of our own, so only a program that listens on all addresses can be in the way.
  const [contract = 0] =
    known?.ports.hostContract ??
    chooseFreePorts(listeners, { address: '*', first: HOST_CONTRACT_PORT, count: 2, step: 10 })
  const [registry = 0] =
    known === undefined
      ? chooseFreePorts(listeners, { address: '*', first: REGISTRY_PORT, count: 1, step: 10 })
      : [known.ports.registry]
  return [...api, contract, registry]
}

/**
 * The ports that were asked for, else those of the last time, so that a cloud keeps its address; unless another lab
 * of this machine has them by now. That another program has them is an error for the caller to see (requirePorts).
 */
function apiPorts(
  home: LabHome,
  known: LabState | undefined,
  apiPort: number | undefined,
  others: { listeners: readonly Listener[]; taken: readonly number[] },
): readonly number[] {
  if (apiPort !== undefined) return [apiPort, apiPort + 1]
  const before = known?.ports.api
  if (before !== undefined && !before.some((port) => others.taken.includes(port))) return before
  const first = home.id === 'nubo' ? API_PORT : API_PORT_OTHERS
  return chooseFreePorts(others.listeners, {
    address: LOOPBACK,
    first,
    count: 2,
    taken: others.taken,
  })
}

function requirePorts(state: LabState): void {
  const listeners = findListeners()
  const { serverAddress } = underlayPlan(state.underlayIndex)
  for (const port of state.ports.api) {
    const next = 'stop that program, or choose other ports with `nubo up --api-port PORT`'
    requireFree(listeners, { address: LOOPBACK, port, use: 'the API', next })
  }
  const next = 'stop that program, or let it listen on its own address instead of all'
  for (const port of state.ports.hostContract) {
    requireFree(listeners, {
      address: serverAddress,
      port,
      use: 'the contract with the hosts',
      next,
    })
  }
  requireFree(listeners, {
    address: serverAddress,
    port: state.ports.registry,
    use: 'the image registry',
    next,
  })
}

function wantedHosts(state: LabState, count: number | undefined): LabHost[] {
  const wanted = count ?? (state.hosts.length > 0 ? state.hosts.length : HOSTS_DEFAULT)
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > HOSTS_MAX) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'hosts', limit: HOSTS_MAX },
      { message: `A lab has 1 to ${HOSTS_MAX} hosts.` },
    )
  }
  if (wanted < state.hosts.length) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'hosts', next: 'run `nubo down --purge` to begin anew with fewer' },
      { message: `This lab has ${state.hosts.length} hosts; the number can only grow.` },
    )
  }
  return Array.from(
    { length: wanted },
    (_, index): LabHost =>
      state.hosts[index] ?? {
        name: `h${index + 1}`,
        zone: 'zone-1',
        rack: `rack-${(index % RACKS) + 1}`,
        joined: false,
      },
  )
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return
  throw new PlatformError(
    'FORBIDDEN',
    { next: 'run it as root, for example with sudo' },
    { message: 'A lab makes network namespaces and runs engines, so it needs root.' },
  )
}

function notRunning(home: LabHome): PlatformError {
  return new PlatformError(
    'NOT_ALLOWED_NOW',
    { home: home.folder, next: 'start it with `nubo up`' },
    { message: 'No cloud runs here.' },
  )
}

function optional<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { [K in Key]?: Value } {
  // proof: an object with this one key, or none
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value }
}
