/** Where an index finds a row: under one key, under several, or (null) not at all. */
export type KeyOf<Row> = (row: Row) => string | null | readonly string[]

function keysOf<Row>(keyOf: KeyOf<Row>, row: Row): readonly string[] {
  const key = keyOf(row)
  return key === null ? [] : typeof key === 'string' ? [key] : key
}

/**
 * Rows of one kind by id, with indexes that are kept up as rows come and go.
 * Declared indexes are the only way to find rows by anything but their id, so that no read scans by accident.
 */
export class Collection<Row extends { readonly id: string }, IndexName extends string> {
  readonly #rows = new Map<string, Row>()
  readonly #keys: Readonly<Record<IndexName, KeyOf<Row>>>
  readonly #indexes: Record<IndexName, Map<string, Set<string>>>

  constructor(keys: Readonly<Record<IndexName, KeyOf<Row>>>) {
    this.#keys = keys
    // proof of the casts: built from the keys of the very record
    this.#indexes = Object.fromEntries(
      this.#indexNames().map((name) => [name, new Map()]),
    ) as Record<IndexName, Map<string, Set<string>>>
  }

  #indexNames(): IndexName[] {
    return Object.keys(this.#keys) as IndexName[]
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

  /** Rows whose key in the index is `key`, in no order. */
  by(index: IndexName, key: string | null): Row[] {
    if (key === null) return []
    const rows: Row[] = []
    for (const id of this.#indexes[index].get(key) ?? []) {
      const row = this.#rows.get(id)
      if (row !== undefined) rows.push(row)
    }
    return rows
  }

  countBy(index: IndexName, key: string): number {
    return this.#indexes[index].get(key)?.size ?? 0
  }

  /** Returns what was there before. */
  put(row: Row): Row | undefined {
    const before = this.remove(row.id)
    this.#rows.set(row.id, row)
    for (const name of this.#indexNames()) {
      for (const key of keysOf(this.#keys[name], row)) {
        const ids = this.#indexes[name].get(key)
        if (ids === undefined) this.#indexes[name].set(key, new Set([row.id]))
        else ids.add(row.id)
      }
    }
    return before
  }

  remove(id: string): Row | undefined {
    const row = this.#rows.get(id)
    if (row === undefined) return undefined
    this.#rows.delete(id)
    for (const name of this.#indexNames()) {
      for (const key of keysOf(this.#keys[name], row)) {
        const ids = this.#indexes[name].get(key)
        ids?.delete(id)
        if (ids?.size === 0) this.#indexes[name].delete(key)
      }
    }
    return row
  }
}
