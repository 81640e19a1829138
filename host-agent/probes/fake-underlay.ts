import type { Clock } from '@nubo/base'
import type { ProbeAnswer, ProbeTarget } from '@nubo/contracts/host'
import type { UnderlayProbes } from './underlay-probes.ts'

/** A question and its answer are this long under way. */
const ROUND_TRIP_MS = 2

/** The underlay of simulated hosts, as far as probes go. */
export class FakeUnderlay {
  readonly #clock: Clock
  readonly #hosts = new Map<string, { hostId: string; answer: () => ProbeAnswer }>()
  /** False: nothing gets from one address ('address:port') to the other, in this direction. For faults. */
  passes: (from: string, to: string) => boolean = () => true

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The probes of one life of an agent. Both ends need the same key, as on a real underlay. */
  attach(self: { readonly hostId: string; readonly address: string }): UnderlayProbes {
    let ownKey: string | undefined
    let mine: { hostId: string; answer: () => ProbeAnswer } | undefined
    return {
      address: self.address,
      start: (answer) => {
        mine = { hostId: self.hostId, answer }
        this.#hosts.set(self.address, mine)
      },
      useKey: (key) => void (ownKey = key),
      probe: (targets, timeoutMs) =>
        ownKey === undefined
          ? Promise.resolve([])
          : Promise.all(targets.map((target) => this.#ask(self.address, target, timeoutMs))),
      close: () => {
        // The next life of the agent may have taken the place already.
        if (mine !== undefined && this.#hosts.get(self.address) === mine)
          this.#hosts.delete(self.address)
      },
    }
  }

  #ask(
    from: string,
    { hostId, address }: ProbeTarget,
    timeoutMs: number,
  ): Promise<{ hostId: string; answer: ProbeAnswer | null }> {
    return new Promise((resolve) => {
      this.#clock.after(ROUND_TRIP_MS, () => {
        const asked = this.#hosts.get(address)
        const isHeard =
          asked?.hostId === hostId && this.passes(from, address) && this.passes(address, from)
        if (isHeard) return resolve({ hostId, answer: asked.answer() })
        this.#clock.after(timeoutMs - ROUND_TRIP_MS, () => resolve({ hostId, answer: null }))
      })
    })
  }
}
