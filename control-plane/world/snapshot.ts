import type { Collection, RowReader } from './collection.ts'
import { worldKinds, type WorldKind } from './commit.ts'

/** So many rows may change while a snapshot is read; then it is lost, for it keeps each as it was. */
export const SNAPSHOT_ROWS_MAX = 50_000

/**
 * The world as it was at one revision, while the world itself goes on. It copies nothing: each row that changes after it
 * was taken is kept as it was, and read instead of the present one.
 */
export class Snapshot<Reader> {
  readonly world: Reader
  readonly #past: ReadonlyMap<WorldKind, PastRows<{ readonly id: string }, string>>
  readonly #end: () => void
  #rows = 0

  /** Made by `World.snapshot`. */
  constructor(
    live: { readonly revision: number } & { readonly [Kind in WorldKind]: object },
    end: () => void,
  ) {
    this.#past = new Map(
      worldKinds.map((kind) => [
        kind,
        // proof: the world has a collection for each kind; what each gives is typed by Reader
        new PastRows(live[kind] as Collection<{ readonly id: string }, string>),
      ]),
    )
    // proof: one entry for each kind, each over the world's collection of that kind
    this.world = {
      revision: live.revision,
      ...Object.fromEntries(this.#past),
    } as Reader
    this.#end = end
  }

  /** Too much has changed: what is read from now on is wrong. */
  get isLost(): boolean {
    return this.#rows > SNAPSHOT_ROWS_MAX
  }

  /** Called by the world for each change, with the row as it was. */
  keep(kind: WorldKind, id: string, before: { readonly id: string } | undefined): void {
    if (this.isLost) return
    if (this.#past.get(kind)?.keep(id, before) === true) this.#rows++
    if (this.isLost) this.close()
  }

  /** From now on the world keeps nothing for it. Idempotent. */
  close(): void {
    this.#end()
  }
}

class PastRows<Row extends { readonly id: string }, IndexName extends string> implements RowReader<
  Row,
  IndexName
> {
  readonly #live: Collection<Row, IndexName>
  /** Rows that have changed since, as they were; made when the first one does. */
  #before: Collection<Row, IndexName> | undefined
  readonly #changed = new Set<string>()

  constructor(live: Collection<Row, IndexName>) {
    this.#live = live
  }

  /** Returns whether the row had not changed yet. */
  keep(id: string, before: Row | undefined): boolean {
    if (this.#changed.has(id)) return false
    this.#changed.add(id)
    if (before !== undefined) (this.#before ??= this.#live.emptied()).put(before)
    return true
  }

  get(id: string | null | undefined): Row | undefined {
    if (id === null || id === undefined) return undefined
    return this.#changed.size > 0 && this.#changed.has(id)
      ? this.#before?.get(id)
      : this.#live.get(id)
  }

  by(index: IndexName, key: string | null): Row[] {
    const live = this.#live.by(index, key)
    if (this.#changed.size === 0) return live
    const rows = live.filter(({ id }) => !this.#changed.has(id))
    const before = this.#before?.by(index, key) ?? []
    return before.length === 0 ? rows : [...rows, ...before].sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  countBy(index: IndexName, key: string): number {
    let count = this.#live.countBy(index, key) + (this.#before?.countBy(index, key) ?? 0)
    for (const id of this.#changed) {
      const row = this.#live.get(id)
      if (row !== undefined && this.#live.isUnder(index, key, row)) count--
    }
    return count
  }
}
