import { sql } from 'kysely'
import type { PoolClient, QueryResult } from 'pg'

/** Put behind the last statement of a transaction; see `Database.andCommit`. */
export const AND_COMMIT = '; commit'

const WITH_NEXT = '/* with next */'
/**
 * Put behind a statement of a transaction whose answer nobody reads: it is sent together with the next one, which fails
 * in its place. Neither side wakes up for an answer between, and locks are held for less time. Where it is not known it is a comment.
 */
export const withNext = sql.raw(WITH_NEXT)

/** Texts that are prepared; each connection keeps their plans, 10 to 100 kB each. Later ones are planned each time. */
const PREPARED_MAX = 200
/** Texts with more are made for a number of rows, so they are many. */
const PREPARED_PARAMETERS_MAX = 32

/**
 * Names of statements that are parsed and planned once for a connection instead of at each use, which takes the
 * database longer than most of ours take to run. One with a star is not among them: what it gives changes with its table, and
 * the database refuses a plan whose answer has changed. So has a column's type in a migration: then `forget`.
 */
export class PreparedNames {
  readonly #names = new Map<string, string>()
  #made = 0

  nameOf(text: string, parameters: number): string | undefined {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    if (parameters > PREPARED_PARAMETERS_MAX || this.#names.size >= PREPARED_MAX) return undefined
    if (parameters === 0 || text.includes('*')) return undefined
    const name = `nubo_${++this.#made}`
    this.#names.set(text, name)
    return name
  }

  /** From now on every connection prepares anew. */
  forget(): void {
    this.#names.clear()
  }
}

type Answer = Pick<QueryResult, 'command' | 'rowCount' | 'rows'>
const noAnswer = (command = ''): Answer => ({ command, rowCount: null, rows: [] })

/** True when a prepared statement was refused because a migration has changed what it gives. It may be run again. */
export function isOutdatedPlan(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === '0A000' &&
    error.message.includes('cached plan must not change result type')
  )
}

/**
 * Statements of one connection, of which some are sent without waiting for the answer of the one before: what opens a
 * transaction, those marked WITH_NEXT, and the commit of one marked AND_COMMIT. Replaces `query` of a client that was
 * opened with `pipeline`.
 */
export function pipeline(client: PoolClient, names: PreparedNames): void {
  const query = client.query.bind(client) as (...asked: unknown[]) => Promise<Answer>
  // proof: a connection of the driver; its stream is a socket, or what the driver passes off as one
  const { stream } = (client as unknown as { connection: { stream: Held } }).connection
  let isHeld = false
  let hasEnded = false
  /** What went wrong first with a statement whose answer nobody waited for. */
  let failure: { readonly error: unknown } | undefined

  const send = (text: string, values: unknown[]): Promise<Answer> => {
    const name = names.nameOf(text, values.length)
    const reply = name === undefined ? query(text, values) : query({ name, text, values })
    reply.catch((error: unknown) => isOutdatedPlan(error) && names.forget())
    return reply
  }
  const sendAhead = (text: string, values: unknown[]): Answer => {
    if (!isHeld) stream.cork()
    isHeld = true
    send(text, values).catch((error: unknown) => {
      failure ??= { error }
    })
    return noAnswer()
  }
  const sendAll = <Sent>(work: () => Sent): Sent => {
    if (!isHeld) stream.cork()
    isHeld = false
    try {
      return work()
    } finally {
      stream.uncork()
    }
  }
  /** The answer of what was sent last; answers come in order, so all before it are known by then. */
  const answered = async (reply: Promise<Answer>): Promise<Answer> => {
    try {
      const answer = await reply
      if (failure === undefined) return answer
    } catch (error) {
      failure ??= { error }
    }
    const { error } = failure
    failure = undefined
    throw error
  }
  const commitWith = async (text: string, values: unknown[]): Promise<Answer> => {
    const [reply, end] = sendAll(() => [send(text, values), query('commit')] as const)
    reply.catch((error: unknown) => {
      failure ??= { error }
    })
    hasEnded = true
    await answered(end)
    return reply
  }

  const run = async (text: string, values: unknown[] = []): Promise<Answer> => {
    const opens = text === 'begin' || text.startsWith('start transaction')
    if (opens) hasEnded = false
    // What the query builder sends when all is over.
    if (hasEnded && (text === 'commit' || text === 'rollback')) return noAnswer(text.toUpperCase())
    if (opens || text.endsWith(WITH_NEXT)) return sendAhead(text, values)
    if (text.endsWith(AND_COMMIT)) return commitWith(text.slice(0, -AND_COMMIT.length), values)
    return answered(sendAll(() => send(text, values)))
  }
  // proof: the query builder is the only one that asks, with a text and its parameters
  client.query = run as unknown as PoolClient['query']
}

interface Held {
  cork(): void
  uncork(): void
}
