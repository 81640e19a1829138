import type { SetShape } from './action.ts'
import type { Answer } from './simulated-region.ts'

type Verb = 'remove' | 'stop' | 'start' | 'restart' | 'update'

/** A request whose answer was lost comes into force within so long, or never. */
export const LATE_EFFECT_MAX_MS = 120_000

interface UnderWay {
  readonly verb: Verb
  readonly name: string
  /** What an update asked for. */
  readonly shape: SetShape | undefined
  readonly fromMs: number
  untilMs: number
}

/** What a verb changes: what a set is to be like, or whether it is to run. */
type Side = 'shape' | 'wanted'
const sideOf = (verb: Verb): Side => (verb === 'update' ? 'shape' : 'wanted')

interface Expected {
  readonly name: string
  /** `asked`: somebody tried to remove it, and it may or may not be so. */
  removal: 'none' | 'asked' | 'acknowledged'
  /** Undefined while a change of it is under way, or after one whose answer was lost. */
  wanted: 'running' | 'stopped' | undefined
  shape: SetShape | undefined
  readonly underWay: Record<Side, number>
  /** When the last change was acknowledged. */
  readonly acknowledgedMs: Record<Side, number>
}

/** What callers were promised: everything that was acknowledged, and nothing that was not. */
export class Model {
  readonly #sets = new Map<string, Expected>()
  readonly #changesOfName = new Map<string, number>()
  /** Changes by name: those without an answer may come into force yet, also on a set that is made meanwhile. */
  readonly #changes: UnderWay[] = []
  /** Of these a manifest may change everything at any time. */
  readonly #applied = new Set<string>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Acknowledged sets by id. */
  get sets(): ReadonlyMap<string, Readonly<Expected>> {
    return this.#sets
  }

  /** Whether somebody may have changed what has this name by hand after `sinceMs`. */
  isTouched(name: string, sinceMs: number): boolean {
    return this.#changes.some((one) => one.name === name && one.untilMs >= sinceMs)
  }

  /** From now on sets of these names belong to manifests; what becomes of them is for `Applies` to say. */
  applying(names: readonly string[]): void {
    for (const name of names) this.#applied.add(name)
    for (const set of this.#sets.values()) if (this.#applied.has(set.name)) forget(set)
  }

  /** Before the request leaves; give the result to `created`. */
  creating(name: string): number {
    const nowMs = this.#nowMs()
    if (this.#applied.has(name)) return -1
    if (this.#changes.some((one) => one.name === name && nowMs < one.untilMs)) return -1
    return this.#changesOfName.get(name) ?? 0
  }

  created(
    begun: number,
    answer: Answer<{ resource: { id: string; name: string } }>,
    shape: SetShape,
  ): void {
    if (answer.at !== 'answered') return
    const { id, name } = answer.value.resource
    if (this.#sets.has(id)) return
    // Somebody changed what has this name before its creator had the answer: whether it was this one, nobody knows.
    const isClear = begun >= 0 && this.creating(name) === begun
    const set: Expected = {
      name,
      removal: 'none',
      wanted: 'running',
      shape,
      underWay: { shape: 0, wanted: 0 },
      acknowledgedMs: { shape: -Infinity, wanted: -Infinity },
    }
    if (!isClear) forget(set)
    this.#sets.set(id, set)
  }

  /** Before the request leaves: from now on it may be in force. */
  changing(verb: Verb, name: string, shape?: SetShape): UnderWay {
    const underWay = { verb, name, shape, fromMs: this.#nowMs(), untilMs: Infinity }
    this.#changes.push(underWay)
    this.#changesOfName.set(name, (this.#changesOfName.get(name) ?? 0) + 1)
    const side = sideOf(verb)
    for (const set of this.#sets.values()) {
      if (set.name !== name || set.removal === 'acknowledged') continue
      if (verb === 'remove') set.removal = 'asked'
      set[side] = undefined
      set.underWay[side] += 1
    }
    return underWay
  }

  changed(underWay: UnderWay, answer: Answer<{ resource: { id: string } }>): void {
    const { verb, name, shape } = underWay
    const side = sideOf(verb)
    const nowMs = this.#nowMs()
    underWay.untilMs = nowMs + (answer.at === 'unknown' ? LATE_EFFECT_MAX_MS : 0)
    for (const [id, set] of this.#sets) {
      if (set.name !== name || set.underWay[side] === 0) continue
      // One whose answer was lost may still come into force: it stays under way.
      if (answer.at === 'unknown') continue
      set.underWay[side] -= 1
      if (answer.at !== 'answered' || answer.value.resource.id !== id) continue
      // Of two at the same time either may be the last one, whichever is answered last.
      const isAlone = set.underWay[side] === 0 && underWay.fromMs > set.acknowledgedMs[side]
      set.acknowledgedMs[side] = nowMs
      if (this.#applied.has(name)) continue
      if (verb === 'remove') set.removal = 'acknowledged'
      else if (!isAlone) continue
      else if (verb === 'update') set.shape = shape
      else set.wanted = verb === 'stop' ? 'stopped' : 'running'
    }
  }
}

/** Nothing is promised of it any more. */
function forget(set: Expected): void {
  if (set.removal === 'none') set.removal = 'asked'
  set.wanted = undefined
  set.shape = undefined
  set.underWay.wanted += 1
  set.underWay.shape += 1
}
