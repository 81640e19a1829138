import { OrderedRows, type RowRange } from './ordered-rows.ts'

/** Where an index finds a row: under one key, under several, or (null) not at all. */
export type KeyOf<Row> = (row: Row) => string | null | readonly string[]

function keysOf<Row>(keyOf: KeyOf<Row>, row: Row): readonly string[] {
  const key = keyOf(row)
  return key === null ? [] : typeof key === 'string' ? [key] : key
}

/** What can be asked of rows of one kind, now or as they were at a revision. */
export interface RowReader<Row extends { readonly id: string }, IndexName extends string> {
  get(id: string | null | undefined): Row | undefined
  /** Rows whose key in the index is `key`, in order of ids. */
  by(index: IndexName, key: string | null): Row[]
  countBy(index: IndexName, key: string): number
}

/** Most keys have one row (names are unique), so it is held without a container. */
type Bucket<Row extends { readonly id: string }> = Row | OrderedRows<Row>

/**
 * Rows of one kind by id, with indexes that are kept up as rows come and go.
 * Declared indexes are the only way to find rows by anything but their id, so that no read scans by accident.
 */
export class Collection<
  Row extends { readonly id: string },
  IndexName extends string,
> implements RowReader<Row, IndexName> {
  readonly #rows = new Map<string, Row>()
  readonly #ordered = new OrderedRows<Row>()
  readonly #keys: Readonly<Record<IndexName, KeyOf<Row>>>
  readonly #names: readonly IndexName[]
  readonly #indexes: Record<IndexName, Map<string, Bucket<Row>>>

  constructor(keys: Readonly<Record<IndexName, KeyOf<Row>>>) {
    this.#keys = keys
    // proof of the casts: built from the keys of the very record
    this.#names = Object.keys(keys) as IndexName[]
    this.#indexes = Object.fromEntries(this.#names.map((name) => [name, new Map()])) as Record<
      IndexName,
      Map<string, Bucket<Row>>
    >
  }

  get size(): number {
    return this.#rows.size
  }

  get(id: string | null | undefined): Row | undefined {
    return id === null || id === undefined ? undefined : this.#rows.get(id)
  }

  values(): MapIterator<Row> {
    return this.#rows.values()
  }

  /** All rows in order of ids; see `OrderedRows.in`. */
  in(range: RowRange): Iterable<Row> {
    return this.#ordered.in(range)
  }

  by(index: IndexName, key: string | null): Row[] {
    const bucket = key === null ? undefined : this.#indexes[index].get(key)
    if (bucket === undefined) return []
    return bucket instanceof OrderedRows ? bucket.toArray() : [bucket]
  }

  /** As `by`, from where a reader goes on. */
  byIn(index: IndexName, key: string | null, range: RowRange): Iterable<Row> {
    const bucket = key === null ? undefined : this.#indexes[index].get(key)
    if (bucket === undefined) return []
    return (bucket instanceof OrderedRows ? bucket : new OrderedRows([bucket])).in(range)
  }

  countBy(index: IndexName, key: string): number {
    const bucket = this.#indexes[index].get(key)
    return bucket === undefined ? 0 : bucket instanceof OrderedRows ? bucket.size : 1
  }

  /** Whether an index finds the row under the key. */
  isUnder(index: IndexName, key: string, row: Row): boolean {
    return keysOf(this.#keys[index], row).includes(key)
  }

  /** One with the same indexes and no rows. */
  emptied(): Collection<Row, IndexName> {
    return new Collection(this.#keys)
  }

  /** Returns what was there before. */
  put(row: Row): Row | undefined {
    const before = this.#rows.get(row.id)
    this.#rows.set(row.id, row)
    this.#ordered.put(row)
    for (const name of this.#names) {
      const keys = keysOf(this.#keys[name], row)
      if (before !== undefined)
        for (const key of keysOf(this.#keys[name], before))
          if (!keys.includes(key)) this.#take(name, key, row.id)
      for (const key of keys) this.#place(name, key, row)
    }
    return before
  }

  remove(id: string): Row | undefined {
    const row = this.#rows.get(id)
    if (row === undefined) return undefined
    this.#rows.delete(id)
    this.#ordered.remove(id)
    for (const name of this.#names)
      for (const key of keysOf(this.#keys[name], row)) this.#take(name, key, id)
    return row
  }

  #place(index: IndexName, key: string, row: Row): void {
    const buckets = this.#indexes[index]
    const bucket = buckets.get(key)
    if (bucket instanceof OrderedRows) bucket.put(row)
    else if (bucket === undefined || bucket.id === row.id) buckets.set(key, row)
    else buckets.set(key, new OrderedRows([bucket, row]))
  }

  #take(index: IndexName, key: string, id: string): void {
    const buckets = this.#indexes[index]
    const bucket = buckets.get(key)
    if (bucket instanceof OrderedRows) bucket.remove(id)
    if (bucket instanceof OrderedRows ? bucket.size === 0 : bucket?.id === id) buckets.delete(key)
  }
}
