import type { PastChangeSet } from './outline.ts'

/** So many change sets are kept for watchers that resume or are slow; older ones must list again. */
export const HISTORY_CHANGE_SETS_MAX = 20_000
/** And so many changes of rows in them, about 250 bytes each: one revision may change many rows. */
export const HISTORY_CHANGES_MAX = 100_000

/** What the last revisions changed. All watchers read the one history, each from its own revision on. */
export class ChangeHistory {
  #sets: PastChangeSet[] = []
  /** Sets before this place are dropped already; they are cut off together, so that dropping one is cheap. */
  #begin = 0
  #changes = 0
  #reachesBackTo: number

  /** Nothing is known of what came before `revision`. */
  constructor(revision: number) {
    this.#reachesBackTo = revision
  }

  push(set: PastChangeSet): void {
    this.#sets.push(set)
    this.#changes += set.changes.length
    while (
      this.#sets.length - this.#begin > HISTORY_CHANGE_SETS_MAX ||
      this.#changes > HISTORY_CHANGES_MAX
    )
      this.#dropOldest()
    if (this.#begin > HISTORY_CHANGE_SETS_MAX / 2) {
      this.#sets = this.#sets.slice(this.#begin)
      this.#begin = 0
    }
  }

  /** The oldest change sets after `revision`; undefined when the history does not reach back that far. */
  since(revision: number, setsMax: number): PastChangeSet[] | undefined {
    if (revision < this.#reachesBackTo) return undefined
    let low = this.#begin
    let high = this.#sets.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#sets[middle]?.revision ?? 0) <= revision) low = middle + 1
      else high = middle
    }
    return this.#sets.slice(low, low + setsMax)
  }

  #dropOldest(): void {
    const oldest = this.#sets[this.#begin]
    if (oldest === undefined) return
    // Held until they are cut off, but without what makes them large.
    this.#sets[this.#begin] = { revision: oldest.revision, changes: [] }
    this.#begin++
    this.#changes -= oldest.changes.length
    this.#reachesBackTo = oldest.revision
  }
}
