import type { Clock, Random } from '@nubo/base'
import type { HostInventory } from '@nubo/contracts'
import type { HostContract } from '@nubo/contracts/host'
import { silentLog, type Log } from '@nubo/runtime/process'
import { createAgent, type Agent, type AgentDeps, type HostResources } from '../agent.ts'
import {
  FakeSetDriver,
  FakeSetHost,
  type FakeSetDriverOptions,
} from '../drivers/set/fake/fake-set-driver.ts'
import { FakeSwitchDriver } from '../drivers/switch/fake/fake-switch-driver.ts'
import { FakeSwitch } from '../drivers/switch/fake/fake-switch.ts'
import type { FakeUnderlay } from '../probes/fake-underlay.ts'
import { noProbes } from '../probes/underlay-probes.ts'
import type { ImageTokens } from '../reconcile/image-puller.ts'
import type { ServerConnector } from '../session/channel.ts'
import type { StreamDialer } from '../streams/stream-socket.ts'
import { MemoryDisk, type Disk } from '../wanted/disk.ts'
import { SimulatedGuard } from './simulated-guard.ts'

export interface SimulatedHostOptions {
  readonly hostId: string
  readonly clock: Clock
  readonly random: Random
  /** How it reaches servers: in memory, or `webSocketConnector` with an identity. */
  readonly connector: ServerConnector
  /** 'address:port' of servers, as the connector understands them. */
  readonly servers: readonly string[]
  readonly vtepAddress: string
  readonly capacity?: HostResources
  readonly reserve?: HostResources
  /** Without it streams are refused. */
  readonly streamDialer?: StreamDialer
  /** Without it any image can be had with an empty token. */
  readonly imageTokens?: ImageTokens
  readonly log?: Log
  readonly disk?: Disk
  /** The newest version of the host contract that its agent speaks; the latest if absent. */
  readonly contract?: HostContract
  /** Where hosts look for each other; without it this one has no probes. Its address there is VTEP address and 7444. */
  readonly underlay?: FakeUnderlay
  /** `absent`: nothing ends its sets if the agent does not, and it says so. */
  readonly guard?: 'runs' | 'absent'
  /** What the guard looks at, if it shall not share the agent's clock, which can stop with the agent. */
  readonly guardOn?: { readonly clock: Clock; readonly disk: Disk }
  readonly sets?: Omit<FakeSetDriverOptions, 'clock'>
}

const defaultCapacity: HostResources = {
  cpuMillis: 16_000,
  memoryBytes: 64 * 2 ** 30,
  diskBytes: 500 * 2 ** 30,
}
const PROBE_PORT = 7_444
const noReserve: HostResources = { cpuMillis: 0, memoryBytes: 0, diskBytes: 0 }

/**
 * A host without engines: the real agent, with fakes below it. Host, disk, switch and agent live and die apart from
 * each other, as real ones do. Light: a host that does nothing costs its agent's timers and a few kilobytes.
 */
export class SimulatedHost {
  readonly hostId: string
  /** What the container engine holds; faults are made here and on `setDriver`. */
  readonly setHost = new FakeSetHost()
  /** The switch under the driver; faults are made here. */
  readonly switchHardware = new FakeSwitch()
  /** Ends what outlives the lease, as a process of its own does on a real host. */
  readonly guard: SimulatedGuard
  readonly #options: SimulatedHostOptions
  readonly #ownDisk = new MemoryDisk()
  #boots = 1
  #life: Life | undefined

  constructor(options: SimulatedHostOptions) {
    this.#options = options
    this.hostId = options.hostId
    const { clock, disk } = options.guardOn ?? { clock: options.clock, disk: this.disk }
    this.guard = new SimulatedGuard({ clock, disk, setHost: this.setHost })
    this.#bootGuard()
  }

  /** Asked of the options anew by each life of the agent, as clock and connector are: each can be given its own. */
  get disk(): Disk {
    return this.#options.disk ?? this.#ownDisk
  }

  /** The agent, while it runs. */
  get agent(): Agent | undefined {
    return this.#life?.agent
  }

  /** The driver of the present agent; throws while there is none. */
  get setDriver(): FakeSetDriver {
    if (this.#life === undefined) throw new Error('the agent does not run')
    return this.#life.setDriver
  }

  get isRunning(): boolean {
    return this.#life !== undefined
  }

  /** Starts the agent. Idempotent. */
  start(): void {
    if (this.#life !== undefined) return
    const { clock, vtepAddress, sets } = this.#options
    const setDriver = new FakeSetDriver({ clock, ...sets }, this.setHost)
    const switchDriver = new FakeSwitchDriver({ clock, vtepAddress, hardware: this.switchHardware })
    const life = { isAlive: true }
    const agent = createAgent({
      ...this.#deps(setDriver, switchDriver),
      lease: this.guard.keeperFor(() => life.isAlive),
    })
    const end = (): void => void (life.isAlive = false)
    this.#life = { agent, setDriver, switchDriver, end }
    agent.start()
  }

  /** Ends the agent as SIGTERM does; what runs on the host runs on. Idempotent. */
  async stop(): Promise<void> {
    const life = this.#life
    this.#life = undefined
    await life?.agent.stop()
    life?.end()
    await life?.switchDriver.close()
  }

  /** The host is not needed any more: ends agent and guard, and with them all timers. Idempotent. */
  async close(): Promise<void> {
    this.guard.kill()
    await this.stop()
  }

  /** Ends the agent at once, in the middle of whatever it does. What runs on the host runs on. */
  async crash(): Promise<void> {
    const life = this.#life
    this.#life = undefined
    life?.end()
    // Without its switch and its connection it can do no more harm, but it may not even finish what it began.
    await life?.switchDriver.close()
    await life?.agent.stop()
  }

  /** Everything on the host ends; only the disk is left. `start` is the next boot. */
  async powerOff(): Promise<void> {
    this.guard.kill()
    const crashed = this.crash()
    // At once, not when the agent has come to its end: nothing that it still does may find an engine.
    const { clock } = this.#options
    new FakeSetDriver({ clock }, this.setHost).powerOff()
    this.switchHardware.disconnect()
    await crashed
  }

  /** The next boot, with engines and agent. */
  powerOn(): void {
    this.#boots += 1
    this.#bootGuard()
    this.setHost.bringUp()
    this.switchHardware.reconnect('flows lost')
    this.start()
  }

  get #bootId(): string {
    return `boot-${this.#boots}`
  }

  #bootGuard(): void {
    if (this.#options.guard !== 'absent') this.guard.boot(this.#bootId)
  }

  #deps(setDriver: FakeSetDriver, switchDriver: FakeSwitchDriver): Omit<AgentDeps, 'lease'> {
    const options = this.#options
    const capacity = options.capacity ?? defaultCapacity
    return {
      clock: options.clock,
      random: options.random,
      log: options.log ?? silentLog,
      disk: this.disk,
      setDriver,
      switchDriver,
      connector: options.connector,
      probes:
        options.underlay?.attach({
          hostId: this.hostId,
          address: `${options.vtepAddress}:${PROBE_PORT}`,
        }) ?? noProbes,
      streamDialer: options.streamDialer ?? noStreams,
      imageTokens: options.imageTokens ?? freeImages,
      inventory: () => Promise.resolve(inventoryOf(capacity)),
      settings: {
        hostId: this.hostId,
        bootId: this.#bootId,
        servers: options.servers,
        capacity,
        reserve: options.reserve ?? noReserve,
        vtepAddress: options.vtepAddress,
        underlayMtuBytes: 1_600,
        parallelStartsMax: 4,
        parallelPullsMax: 3,
        ...(options.contract === 1 ? { contracts: [1] } : {}),
      },
    }
  }
}

interface Life {
  readonly agent: Agent
  readonly setDriver: FakeSetDriver
  readonly switchDriver: FakeSwitchDriver
  readonly end: () => void
}

export function createSimulatedHost(options: SimulatedHostOptions): SimulatedHost {
  return new SimulatedHost(options)
}

const noStreams: StreamDialer = {
  dial: () => Promise.reject(new Error('this host has no streams')),
}

const freeImages: ImageTokens = {
  token: () => Promise.resolve({ registry: 'simulated', token: '' }),
}

function inventoryOf(capacity: HostResources): HostInventory {
  return {
    cores: Math.max(1, Math.floor(capacity.cpuMillis / 1_000)),
    memoryBytes: capacity.memoryBytes,
    diskBytes: capacity.diskBytes,
    kernel: 'simulated',
    engines: { docker: 'simulated', openvswitch: 'simulated' },
    nics: [],
    agentVersion: 'simulated',
  }
}
