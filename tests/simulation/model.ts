import type { Answer } from './simulated-region.ts'

type Verb = 'remove' | 'stop' | 'start' | 'restart'

/** A request whose answer was lost comes into force within so long, or never. */
const LATE_EFFECT_MAX_MS = 120_000

interface UnderWay {
  readonly name: string
  untilMs: number
}

interface Expected {
  readonly name: string
  /** `asked`: somebody tried to remove it, and it may or may not be so. */
  removal: 'none' | 'asked' | 'acknowledged'
  /** Undefined while a change is under way, or after one whose answer was lost. */
  wanted: 'running' | 'stopped' | undefined
  changesUnderWay: number
}

/** What callers were promised: everything that was acknowledged, and nothing that was not. */
export class Model {
  readonly #sets = new Map<string, Expected>()
  readonly #changesOfName = new Map<string, number>()
  /** Changes without an answer, by name: they may come into force yet, also on a set that is made meanwhile. */
  readonly #underWay: UnderWay[] = []
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Acknowledged sets by id. */
  get sets(): ReadonlyMap<string, Readonly<Expected>> {
    return this.#sets
  }

  /** Before the request leaves; give the result to `created`. */
  creating(name: string): number {
    const nowMs = this.#nowMs()
    if (this.#underWay.some((one) => one.name === name && nowMs < one.untilMs)) return -1
    return this.#changesOfName.get(name) ?? 0
  }

  created(begun: number, answer: Answer<{ resource: { id: string; name: string } }>): void {
    if (answer.at !== 'answered') return
    const { id, name } = answer.value.resource
    if (this.#sets.has(id)) return
    // Somebody changed what has this name before its creator had the answer: whether it was this one, nobody knows.
    const isClear = begun >= 0 && this.creating(name) === begun
    this.#sets.set(id, {
      name,
      removal: isClear ? 'none' : 'asked',
      wanted: isClear ? 'running' : undefined,
      changesUnderWay: isClear ? 0 : 1,
    })
  }

  /** Before the request leaves: from now on it may be in force. */
  changing(verb: Verb, name: string): UnderWay {
    const underWay = { name, untilMs: Infinity }
    this.#underWay.push(underWay)
    this.#changesOfName.set(name, (this.#changesOfName.get(name) ?? 0) + 1)
    for (const set of this.#sets.values()) {
      if (set.name !== name || set.removal === 'acknowledged') continue
      if (verb === 'remove') set.removal = 'asked'
      set.wanted = undefined
      set.changesUnderWay += 1
    }
    return underWay
  }

  changed(
    { verb, name, underWay }: { verb: Verb; name: string; underWay: UnderWay },
    answer: Answer<{ resource: { id: string } }>,
  ): void {
    underWay.untilMs = answer.at === 'unknown' ? this.#nowMs() + LATE_EFFECT_MAX_MS : 0
    for (const [id, set] of this.#sets) {
      if (set.name !== name || set.changesUnderWay === 0) continue
      // One whose answer was lost may still come into force: it stays under way.
      if (answer.at === 'unknown') continue
      set.changesUnderWay -= 1
      if (answer.at !== 'answered' || answer.value.resource.id !== id) continue
      if (verb === 'remove') set.removal = 'acknowledged'
      else if (set.changesUnderWay === 0) set.wanted = verb === 'stop' ? 'stopped' : 'running'
    }
  }
}
