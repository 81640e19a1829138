import type { QueryResult } from 'kysely'

const ENTRIES_MAX = 200

/**
 * Answers of statements that only read, for as long as nothing was written to a table that they name: what a server
 * polls a thousand times in a quiet hour is asked of the engine once.
 */
export class QueryCache {
  readonly #entries = new Map<string, { text: string; result: QueryResult<unknown> }>()

  get(text: string, parameters: readonly unknown[]): QueryResult<unknown> | undefined {
    return isRead(text) ? this.#entries.get(keyOf(text, parameters))?.result : undefined
  }

  /** A statement ran. What it wrote counts at once: transactions take turns, so nobody reads in between. */
  note(ran: {
    text: string
    parameters: readonly unknown[]
    result: QueryResult<unknown>
    inTransaction: boolean
  }): void {
    if (isRead(ran.text)) {
      if (ran.inTransaction) return
      if (this.#entries.size >= ENTRIES_MAX) this.#entries.clear()
      this.#entries.set(keyOf(ran.text, ran.parameters), { text: ran.text, result: ran.result })
      return
    }
    if (/^(begin|commit|rollback|select)/i.test(ran.text)) return
    const written = [
      ...ran.text.matchAll(/\b(?:insert into|update|delete from)\s+"?(\w+)"?/gi),
    ].map(([, table]) => table ?? '')
    if (written.length === 0) return this.#entries.clear()
    const names = new RegExp(`\\b(?:${written.join('|')})\\b`)
    for (const [key, { text }] of this.#entries) if (names.test(text)) this.#entries.delete(key)
  }
}

/** Plain reads: without locks, and without functions of the engine that do something. */
function isRead(text: string): boolean {
  return /^select/i.test(text) && !/\bfor (update|share|no key)|pg_/i.test(text)
}

function keyOf(text: string, parameters: readonly unknown[]): string {
  return parameters.length === 0 ? text : `${text}\n${JSON.stringify(parameters)}`
}
