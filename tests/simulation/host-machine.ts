import type { Random, VirtualClock } from '@nubo/base'
import {
  createSimulatedHost,
  type FakeUnderlay,
  type ServerConnector,
  type SimulatedHost,
  type SimulatedHostOptions,
} from '@nubo/host-agent'
import type { SimulatedNetwork } from './network.ts'
import { never, SimulatedProcess, type MachineClock } from './process.ts'
import { SimulatedDisk } from './simulated-disk.ts'
import type { Trace } from './trace.ts'

export interface HostMachineDeps {
  readonly name: string
  readonly rack: string
  readonly hostId: string
  readonly vtepAddress: string
  readonly cpuMillis: number
  readonly memoryBytes: number
  readonly servers: readonly string[]
  readonly base: VirtualClock
  readonly random: Random
  readonly trace: Trace
  readonly network: SimulatedNetwork
  readonly underlay: FakeUnderlay
  readonly clock: MachineClock
  readonly connect: (from: HostMachine, process: SimulatedProcess) => ServerConnector
}

/** One server of the data centre: engines, a disk, power, and the lives of its agent one after the other. */
export class HostMachine {
  readonly name: string
  readonly rack: string
  readonly hostId: string
  readonly disk: SimulatedDisk
  readonly simulated: SimulatedHost
  readonly #deps: HostMachineDeps
  #agent: SimulatedProcess
  #isPowered = true
  #engineSlowUntilMs = 0
  #engineDelayMaxMs = 0
  #boots = 1

  constructor(deps: HostMachineDeps) {
    this.#deps = deps
    this.name = deps.name
    this.rack = deps.rack
    this.hostId = deps.hostId
    this.disk = new SimulatedDisk(deps.base, deps.random)
    this.#agent = this.#newLife()
    this.simulated = createSimulatedHost(this.#options())
  }

  get agent(): SimulatedProcess {
    return this.#agent
  }

  get vtepAddress(): string {
    return this.#deps.vtepAddress
  }

  get isPowered(): boolean {
    return this.#isPowered
  }

  get clock(): MachineClock {
    return this.#deps.clock
  }

  /** Sets of which something runs, with their epochs. */
  *running(): Iterable<{ setId: string; epoch: number; name: string; recovery: string }> {
    if (!this.#isPowered) return
    for (const [setId, set] of this.simulated.setHost.sets)
      if ([...set.containers.values()].some(({ found }) => found.state === 'running'))
        yield { setId, epoch: set.spec.epoch, name: set.spec.name, recovery: '' }
  }

  /** Everything that the engine holds, running or not. */
  holds(setId: string): boolean {
    return this.simulated.setHost.sets.has(setId)
  }

  startAgent(): void {
    if (!this.#isPowered || this.simulated.isRunning) return
    this.#agent = this.#newLife()
    this.simulated.start()
  }

  /** kill -9: what runs on the host runs on. */
  killAgent(): void {
    if (!this.#agent.isAlive) return
    this.#agent.die()
    this.#deps.network.closeAll(this.#agent)
    void this.simulated.crash()
  }

  powerOff(): void {
    if (!this.#isPowered) return
    this.#isPowered = false
    this.#agent.die()
    this.#deps.network.silence(this.name)
    void this.simulated.powerOff()
    this.disk.losePower()
  }

  powerOn(): void {
    if (this.#isPowered) return
    this.#isPowered = true
    this.#boots += 1
    this.#agent = this.#newLife()
    this.simulated.powerOn()
  }

  /** Each call to the container engine takes up to `maxMs`; what was asked for happens even if nobody waits any more. */
  slowEngine(maxMs: number, forMs: number): void {
    this.#engineDelayMaxMs = maxMs
    this.#engineSlowUntilMs = this.#deps.base.monotonicMs() + forMs
  }

  heal(): void {
    this.#engineSlowUntilMs = 0
    this.disk.heal()
    this.simulated.setHost.bringUp()
    this.#agent.resume()
    this.powerOn()
    this.startAgent()
  }

  #newLife(): SimulatedProcess {
    const { name, base, trace, clock } = this.#deps
    return new SimulatedProcess({ name, base, trace, machine: clock })
  }

  #options(): SimulatedHostOptions {
    const agent = (): SimulatedProcess => this.#agent
    const { disk } = this
    const connector = (): ServerConnector => this.#deps.connect(this, this.#agent)
    const engineCall = (life: SimulatedProcess, call: string): Promise<void> =>
      this.#engineCall(life, call)
    const deps = this.#deps
    return {
      hostId: deps.hostId,
      random: deps.random,
      servers: deps.servers,
      vtepAddress: deps.vtepAddress,
      underlay: deps.underlay,
      capacity: {
        cpuMillis: deps.cpuMillis,
        memoryBytes: deps.memoryBytes,
        diskBytes: 10 * 2 ** 30,
      },
      guardOn: {
        clock: new SimulatedProcess({
          name: `${deps.name}/guard`,
          base: deps.base,
          trace: deps.trace,
          machine: deps.clock,
        }).clock,
        disk: disk.bare,
      },
      // Asked anew by each life.
      get clock() {
        return agent().clock
      },
      get disk() {
        return disk.openFor(agent())
      },
      get connector() {
        return connector()
      },
      get sets() {
        const life = agent()
        return { before: (call: string) => engineCall(life, call) }
      },
    }
  }

  async #engineCall(agent: SimulatedProcess, call: string): Promise<void> {
    if (!agent.point(`a call of the engine (${call})`)) return never()
    await agent.gate()
    const { base, random, trace, name } = this.#deps
    const boots = this.#boots
    if (base.monotonicMs() < this.#engineSlowUntilMs)
      await new Promise<void>(
        (resolve) => void base.after(random.fraction() * this.#engineDelayMaxMs, resolve),
      )
    // The engine went with the power; one that is slow does late what it was told, also by an agent that is dead by now.
    if (!this.#isPowered || this.#boots !== boots) return never()
    trace.add(name, `engine ${call}`)
  }
}
