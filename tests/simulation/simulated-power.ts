import type { HostId, Random, VirtualClock } from '@nubo/base'
import type { RegionDeps } from '@nubo/control-plane'
import type { HostMachine } from './host-machine.ts'
import { never, type SimulatedProcess } from './process.ts'
import type { Trace } from './trace.ts'

type PowerControl = NonNullable<RegionDeps['power']>

/** As long as the real one waits for a controller. */
const ANSWER_TIMEOUT_MS = 4_000
/** A machine that was switched off to be sure is switched on again by somebody, some time later. */
const BACK_ON_MAX_MS = 120_000

interface Machines {
  readonly clock: VirtualClock
  readonly trace: Trace
  readonly hosts: readonly HostMachine[]
  canProbe(from: HostMachine, to: HostMachine): boolean
  canTell(host: HostMachine): boolean
}

/**
 * Management controllers of all hosts. One that lies says that its machine is off, and takes orders without doing anything; it lies
 * only where a neighbour can hear the machine and be asked, because nobody could tell otherwise: who believes its power
 * control and is told nothing else is right to do so.
 */
export class SimulatedPower {
  readonly #region: Machines
  readonly #base: VirtualClock
  readonly #random: Random
  #mood: 'honest' | 'dead' | 'lies' | 'slow' = 'honest'
  #moodUntilMs = 0

  constructor(region: Machines, random: Random) {
    this.#region = region
    this.#base = region.clock
    this.#random = random
  }

  be(mood: 'dead' | 'lies' | 'slow', forMs: number): void {
    this.#mood = mood
    this.#moodUntilMs = this.#base.monotonicMs() + forMs
  }

  heal(): void {
    this.#moodUntilMs = 0
  }

  /** As one server process reaches them. */
  controlFor(process: SimulatedProcess): PowerControl {
    return {
      read: async ({ hostId }) => {
        if (!process.point('a question to a controller')) return never()
        const isReached = await this.#way()
        await process.gate()
        if (!isReached) return { state: 'unknown', problem: 'it does not answer' }
        const machine = this.#machine(hostId)
        const isOff = !machine.isPowered || (this.#isLying() && this.#isHeard(machine))
        return { state: isOff ? 'off' : 'on' }
      },
      off: async ({ hostId }) => {
        if (!process.point('an order to a controller')) return never()
        const isReached = await this.#way()
        if (isReached && !this.#isLying()) this.#switchOff(this.#machine(hostId))
        await process.gate()
      },
      keepPassword: () => Promise.resolve(),
    }
  }

  #switchOff(machine: HostMachine): void {
    if (!machine.isPowered) return
    this.#region.trace.add(machine.name, 'is switched off')
    machine.powerOff()
    this.#base.after(this.#random.fraction() * BACK_ON_MAX_MS, () => machine.powerOn())
  }

  #isLying(): boolean {
    return this.#is('lies')
  }

  #is(mood: 'dead' | 'lies' | 'slow'): boolean {
    return this.#mood === mood && this.#base.monotonicMs() < this.#moodUntilMs
  }

  #isHeard(machine: HostMachine): boolean {
    return this.#region.hosts.some(
      (other) =>
        other !== machine && this.#region.canProbe(other, machine) && this.#region.canTell(other),
    )
  }

  /** False: no answer in time. */
  async #way(): Promise<boolean> {
    const takesMs = this.#is('slow')
      ? this.#random.fraction() * 6_000
      : 20 * this.#random.fraction()
    await new Promise<void>(
      (resolve) => void this.#base.after(Math.min(takesMs, ANSWER_TIMEOUT_MS), resolve),
    )
    return takesMs < ANSWER_TIMEOUT_MS && !this.#is('dead')
  }

  #machine(hostId: HostId): HostMachine {
    const machine = this.#region.hosts.find((one) => one.hostId === hostId)
    if (machine === undefined) throw new Error(`there is no machine ${hostId}`)
    return machine
  }
}
