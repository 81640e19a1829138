/** Full ones are cut in two; so many references are moved at most when a row comes or goes. */
const BLOCK_ROWS_MAX = 512

interface WithId {
  readonly id: string
}

/** Where a reader goes on, and which way. */
export interface RowRange {
  /** The row with this id is left out, and need not be there any more; the whole order by default. */
  readonly after?: string | undefined
  readonly newestFirst?: boolean | undefined
}

/**
 * Rows in the order of their ids, cut into blocks: a row is found, put and removed in O(log n), and a reader that goes
 * on after an id costs what it reads. Readers must be done before the next change.
 */
export class OrderedRows<Row extends WithId> {
  /** No block is empty; the ids of each are below those of the next. */
  readonly #blocks: Row[][] = []
  #size = 0

  constructor(rows: Iterable<Row> = []) {
    for (const row of rows) this.put(row)
  }

  get size(): number {
    return this.#size
  }

  /** Takes the place of the row with this id, if there is one. */
  put(row: Row): void {
    const at = this.#blockOf(row.id)
    const block = this.#blocks[at]
    if (block === undefined) {
      this.#blocks.push([row])
      this.#size = 1
      return
    }
    const place = firstNotBelow(block, row.id)
    if (block[place]?.id === row.id) {
      block[place] = row
      return
    }
    block.splice(place, 0, row)
    this.#size++
    if (block.length <= BLOCK_ROWS_MAX) return
    // Ids grow with time, so most rows come at the end: there, the new block gets one row, and the full one stays full.
    const isAtEnd = at === this.#blocks.length - 1 && place === block.length - 1
    this.#blocks.splice(at + 1, 0, block.splice(isAtEnd ? place : block.length >> 1))
  }

  remove(id: string): void {
    const at = this.#blockOf(id)
    const block = this.#blocks[at]
    if (block === undefined) return
    const place = firstNotBelow(block, id)
    if (block[place]?.id !== id) return
    block.splice(place, 1)
    this.#size--
    if (block.length === 0) this.#blocks.splice(at, 1)
  }

  toArray(): Row[] {
    return this.#blocks.flat()
  }

  *in({ after, newestFirst }: RowRange = {}): Generator<Row, undefined> {
    if (newestFirst === true) yield* this.#backwards(after)
    else yield* this.#forwards(after)
  }

  *#forwards(after: string | undefined): Generator<Row, undefined> {
    const begin = after === undefined ? 0 : this.#blockOf(after)
    for (let at = begin; at < this.#blocks.length; at++) {
      const block = this.#blocks[at] ?? []
      let place = after === undefined || at > begin ? 0 : firstNotBelow(block, after)
      if (block[place]?.id === after) place++
      for (; place < block.length; place++) {
        const row = block[place]
        if (row !== undefined) yield row
      }
    }
  }

  *#backwards(after: string | undefined): Generator<Row, undefined> {
    const begin = after === undefined ? this.#blocks.length - 1 : this.#blockOf(after)
    for (let at = begin; at >= 0; at--) {
      const block = this.#blocks[at] ?? []
      const end = after === undefined || at < begin ? block.length : firstNotBelow(block, after)
      for (let place = end - 1; place >= 0; place--) {
        const row = block[place]
        if (row !== undefined) yield row
      }
    }
  }

  /** The last block that begins at or below the id; the first one if all begin above it. */
  #blockOf(id: string): number {
    let low = 0
    let high = this.#blocks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      const first = this.#blocks[middle]?.[0]
      if (first !== undefined && first.id <= id) low = middle
      else high = middle - 1
    }
    return low
  }
}

function firstNotBelow(rows: readonly WithId[], id: string): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    const row = rows[middle]
    if (row !== undefined && row.id < id) low = middle + 1
    else high = middle
  }
  return low
}
