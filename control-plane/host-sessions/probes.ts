import type { Clock, Timer } from '@nubo/base'
import type { ProbeResult, ProbeTarget } from '@nubo/contracts/host'

/** Questions to one host that are under way; more are not asked. */
export const PROBES_PER_SESSION_MAX = 4
/** Beyond the time that the host has for its probes. */
export const PROBE_EXTRA_MS = 2_000

interface Asked {
  readonly answer: (results: readonly ProbeResult[] | undefined) => void
  readonly deadline: Timer
  readonly hostIds: ReadonlySet<string>
}

/** Questions of one kind that wait for their answers, by number; each ends by its deadline at the latest. */
export class PendingProbes {
  readonly #clock: Clock
  readonly #pending = new Map<number, Asked>()
  #asked: number

  /** `firstId`: where numbers begin, so that answers to questions of an earlier life are not taken for ours. */
  constructor(clock: Clock, firstId = 0) {
    this.#clock = clock
    this.#asked = firstId
  }

  get size(): number {
    return this.#pending.size
  }

  /** `send` gets the number of the question. Undefined: no answer in time, or it could not be sent. Never rejects. */
  ask(options: {
    readonly targets: readonly ProbeTarget[]
    readonly timeoutMs: number
    readonly send: (id: number) => boolean
  }): Promise<readonly ProbeResult[] | undefined> {
    const id = (this.#asked += 1)
    return new Promise((resolve) => {
      const answer = (results: readonly ProbeResult[] | undefined): void => {
        this.#pending.get(id)?.deadline.cancel()
        this.#pending.delete(id)
        resolve(results)
      }
      const deadline = this.#clock.after(options.timeoutMs, () => answer(undefined))
      const hostIds = new Set(options.targets.map(({ hostId }) => hostId))
      this.#pending.set(id, { answer, deadline, hostIds })
      if (!options.send(id)) answer(undefined)
    })
  }

  /** An answer to a question that is not open (any more) is ignored, and so is what it says of hosts nobody asked for. */
  answered(id: number, results: readonly ProbeResult[]): void {
    const asked = this.#pending.get(id)
    asked?.answer(results.filter(({ hostId }) => asked.hostIds.has(hostId)))
  }

  /** Nobody will answer this one. */
  fail(id: number): void {
    this.#pending.get(id)?.answer(undefined)
  }

  /** Nobody will answer any of them. */
  endAll(): void {
    for (const { answer } of this.#pending.values()) answer(undefined)
  }
}
