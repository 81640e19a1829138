import { sleep, type Clock, type HostId } from '@nubo/base'
import type { PowerControl, PoweredHost, PowerReading } from '../domains/fleet/index.ts'

/** How the controller of one host behaves. */
export type ControllerMood =
  | { readonly at: 'honest' }
  /** It died with its machine, or its network did. */
  | { readonly at: 'dead' }
  /** It always says this, whatever is so; orders it takes without doing anything. */
  | { readonly at: 'lying'; readonly state: 'on' | 'off' }

export interface FakePowerControlOptions {
  readonly clock: Clock
  /** The machine itself. */
  readonly isOn: (hostId: HostId) => boolean
  readonly powerOff: (hostId: HostId) => Promise<void>
}

/** As long as the real one waits for a controller. */
const ANSWER_TIMEOUT_MS = 4_000

/**
 * Power control of simulated machines. Ships, and keeps the rules of the real one: calls end in time and never throw; an
 * order to a machine that is off already does nothing.
 */
export class FakePowerControl implements PowerControl {
  readonly #options: FakePowerControlOptions
  readonly #moods = new Map<HostId, ControllerMood>()
  readonly passwords = new Map<HostId, string>()
  /** How long controllers take to answer; more than they are given counts as no answer. */
  delayMs = 0
  /** Orders that arrived, newest last. */
  readonly orders: HostId[] = []

  constructor(options: FakePowerControlOptions) {
    this.#options = options
  }

  setMood(hostId: HostId, mood: ControllerMood): void {
    this.#moods.set(hostId, mood)
  }

  async read({ hostId }: PoweredHost): Promise<PowerReading> {
    const mood = await this.#reach(hostId)
    if (mood === undefined || mood.at === 'dead')
      return { state: 'unknown', problem: 'it does not answer' }
    if (mood.at === 'lying') return { state: mood.state }
    return { state: this.#options.isOn(hostId) ? 'on' : 'off' }
  }

  async off({ hostId }: PoweredHost): Promise<void> {
    const mood = await this.#reach(hostId)
    if (mood === undefined || mood.at === 'dead') return
    this.orders.push(hostId)
    if (mood.at === 'honest' && this.#options.isOn(hostId)) await this.#options.powerOff(hostId)
  }

  keepPassword(hostId: HostId, password: string | null): Promise<void> {
    if (password === null) this.passwords.delete(hostId)
    else this.passwords.set(hostId, password)
    return Promise.resolve()
  }

  /** Undefined: too late. */
  async #reach(hostId: HostId): Promise<ControllerMood | undefined> {
    await sleep(this.#options.clock, Math.min(this.delayMs, ANSWER_TIMEOUT_MS))
    if (this.delayMs > ANSWER_TIMEOUT_MS) return undefined
    return this.#moods.get(hostId) ?? { at: 'honest' }
  }
}
