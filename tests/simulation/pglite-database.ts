import type { Random, VirtualClock } from '@nubo/base'
import type { Database, Leadership } from '@nubo/runtime'
import {
  CamelCasePlugin,
  Kysely,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from 'kysely'
import { AdvisoryLocks } from './advisory-locks.ts'
import { never, type SimulatedProcess } from './process.ts'
import type { PreparedEngine } from './prepared-engine.ts'
import { QueryCache } from './query-cache.ts'
import { dialectOf, emptiedEngine } from './shared-engine.ts'
import type { Trace } from './trace.ts'

/** As `runtime/postgres/database.ts` has it: a client gives a statement up after so long. */
const ANSWER_TIMEOUT_MS = 20_000
const LISTEN_RETRY_MS = 500
/** A statement of a transaction takes so long at most, half on its way and half on the way back. */
const STATEMENT_MAX_MS = 1.5
/** `idle_in_transaction_session_timeout` */
const TRANSACTION_MAX_MS = 15_000
/** A connection that fell silent is noticed within so long, by each side for itself. */
const KEEPALIVE_MAX_MS = 30_000

function connectionError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
const restarted = (): Error => connectionError('57P01', 'Connection terminated by a restart')
const refused = (): Error => connectionError('ECONNREFUSED', 'the database does not answer')

/** What one process holds at the database. */
interface Client {
  readonly process: SimulatedProcess | undefined
  readonly listeners: Map<string, (payload: string) => void>
  cutUntilMs: number
  /** Lets go what hangs in the cut, once it is healed before its time: what was sent comes through then. */
  readonly hanging: (() => void)[]
  /** Raised when all connections of this client break. */
  breaks: number
}

/** One connection for as long as somebody uses it. */
interface Session extends DatabaseConnection {
  readonly client: Client
  /** Ends its turn at the engine, while it has it: for all of a transaction, or for one statement. */
  endTurn: (() => void) | undefined
  inTransaction: boolean
  /** What its transaction will be in the feed. */
  revision: number | undefined
  /** Why nothing can be asked on it any more. */
  broken: Error | undefined
}

/**
 * A PostgreSQL in this process, shared by all simulated servers. It has one connection inside: transactions take turns, in the
 * order in which they ask, so a run depends on nothing but its seed. What it cannot show are races of row locks between
 * statements of two open transactions; tests on a real PostgreSQL are there for these.
 * Faults: restarts, a full disk, slowness, and a network between it and one server that goes silent or resets.
 */
export class SharedPglite {
  readonly #engine: PreparedEngine
  readonly #base: VirtualClock
  readonly #random: Random
  readonly #trace: Trace
  readonly #cache = new QueryCache()
  readonly #locks = new AdvisoryLocks()
  readonly #clients = new Set<Client>()
  readonly #sessions = new Set<Session>()
  #queue: Promise<void> = Promise.resolve()
  #isDown = false
  #isClosed = false
  #fullUntilMs = 0
  #slowUntilMs = 0
  #slowMaxMs = 0
  readonly #committedAtMs = new Map<number, number>()
  /** Statements that reached the engine, and those that were known to give what they gave before. */
  readonly counts = { executed: 0, remembered: 0 }

  private constructor(
    engine: PreparedEngine,
    deps: { base: VirtualClock; random: Random; trace: Trace },
  ) {
    this.#engine = engine
    engine.onNotification = (channel, payload) => {
      for (const client of this.#clients) this.#notify(client, channel, payload)
    }
    this.#base = deps.base
    this.#random = deps.random
    this.#trace = deps.trace
  }

  /** An emptied database. Only one may be open in a process at a time. */
  static async open(
    migrationsFolder: string,
    deps: { base: VirtualClock; random: Random; trace: Trace },
  ): Promise<SharedPglite> {
    return new SharedPglite(await emptiedEngine(migrationsFolder), deps)
  }

  /** The moment at which a revision came into force, whenever servers hear of it. */
  committedAtMs(revision: number): number {
    return this.#committedAtMs.get(revision) ?? this.#base.monotonicMs()
  }

  get isDown(): boolean {
    return this.#isDown
  }

  /** One server's view; without a process it is that of an observer, whom no fault touches. */
  connect<Tables>(process?: SimulatedProcess): Database<Tables> {
    const client: Client = { process, listeners: new Map(), cutUntilMs: 0, hanging: [], breaks: 0 }
    this.#clients.add(client)
    process?.onDeath(() => {
      this.#clients.delete(client)
      this.#locks.releaseAll(client)
      this.#breakTurns((session) => session.client === client)
    })
    return {
      query: new Kysely<Tables>({
        dialect: this.#dialect(client),
        plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
      }),
      // A commit of its own is one more point at which a process can die.
      andCommit: '',
      listen: (channel, onNotify) => {
        if (this.#isDown || this.#isCut(client)) return Promise.reject(refused())
        client.listeners.set(channel, onNotify)
        this.#engine.query(`listen ${channel}`, [])
        return Promise.resolve()
      },
      tryLead: (lockNumber, how) => this.#tryLead(client, lockNumber, how?.shared === true),
      close: () => {
        this.#clients.delete(client)
        this.#locks.releaseAll(client)
        return Promise.resolve()
      },
    }
  }

  close(): void {
    this.#isClosed = true
    this.#engine.onNotification = () => undefined
    this.#clients.clear()
  }

  // ---- Faults

  /** Every connection ends; what was not committed is rolled back. Comes back after `downMs`. */
  restart(downMs: number): void {
    if (this.#isDown) return
    this.#isDown = true
    for (const client of this.#clients) this.#breakClient(client)
    this.#base.after(downMs, () => this.bringUp())
  }

  bringUp(): void {
    if (!this.#isDown) return
    this.#isDown = false
    for (const client of this.#clients) this.#reconnectListener(client)
  }

  /** Between the database and one server: `reset` ends its connections, `silent` lets them hang. */
  cut(process: SimulatedProcess, forMs: number, how: 'reset' | 'silent'): void {
    const client = [...this.#clients].find((one) => one.process === process)
    if (client === undefined) return
    client.cutUntilMs = Math.max(client.cutUntilMs, this.#base.monotonicMs() + forMs)
    if (how === 'reset') this.#breakClient(client)
    else {
      // The database ends what is open and idle by itself; who holds a lock is noticed to be gone some time later.
      this.#breakTurns((session) => session.client === client && session.inTransaction)
      for (const lose of this.#locks.losersOf(client)) {
        const noticed = this.#random.fraction() * KEEPALIVE_MAX_MS
        this.#base.after(noticed, () => void (this.#isCut(client) && lose.atDatabase()))
        this.#base.after(noticed + this.#random.fraction() * KEEPALIVE_MAX_MS, () => {
          if (!lose.isHeld()) client.process?.enter(() => lose.atProcess())
        })
      }
    }
    this.#base.after(client.cutUntilMs - this.#base.monotonicMs(), () => {
      if (!this.#isCut(client)) this.#reconnectListener(client)
    })
  }

  heal(): void {
    for (const client of this.#clients) {
      client.cutUntilMs = 0
      for (const goOn of client.hanging.splice(0)) goOn()
      this.#reconnectListener(client)
    }
    this.#fullUntilMs = 0
    this.#slowUntilMs = 0
    this.bringUp()
  }

  fill(forMs: number): void {
    this.#fullUntilMs = this.#base.monotonicMs() + forMs
  }

  slow(maxMs: number, forMs: number): void {
    this.#slowMaxMs = maxMs
    this.#slowUntilMs = this.#base.monotonicMs() + forMs
  }

  #isCut(client: Client): boolean {
    return this.#base.monotonicMs() < client.cutUntilMs
  }

  #breakClient(client: Client): void {
    if (client.process === undefined) return
    client.breaks += 1
    for (const lose of this.#locks.losersOf(client)) {
      lose.atDatabase()
      client.process.enter(() => lose.atProcess())
    }
    this.#breakTurns((session) => session.client === client)
  }

  #breakTurns(which: (session: Session) => boolean): void {
    for (const session of this.#sessions) if (which(session)) this.#break(session, restarted())
  }

  /** The database rolls back what was open; another transaction may begin. */
  #break(session: Session, why: Error): void {
    session.broken ??= why
    this.#sessions.delete(session)
    const { endTurn } = session
    session.endTurn = undefined
    if (endTurn === undefined || !session.inTransaction) return endTurn?.()
    session.inTransaction = false
    this.#execute('rollback', [])
    endTurn()
  }

  // ---- Notifications

  #notify(client: Client, channel: string, payload: string): void {
    const onNotify = client.listeners.get(channel)
    if (onNotify === undefined || this.#isCut(client) || this.#isDown) return
    const { breaks } = client
    this.#base.after(this.#random.fraction() * STATEMENT_MAX_MS, () => {
      if (client.breaks !== breaks || this.#isCut(client)) return
      client.process?.enter(() => onNotify(payload))
    })
  }

  #reconnectListener(client: Client): void {
    this.#base.after(this.#random.fraction() * LISTEN_RETRY_MS, () => {
      if (this.#isDown || this.#isCut(client)) return
      for (const onNotify of client.listeners.values()) client.process?.enter(() => onNotify(''))
    })
  }

  async #tryLead(
    client: Client,
    lockNumber: number,
    isShared: boolean,
  ): Promise<Leadership | undefined> {
    await client.process?.gate()
    if (client.process?.isAlive === false) return never()
    if (this.#isDown || this.#isCut(client)) throw refused()
    const leadership = this.#locks.take(client, lockNumber, isShared)
    if (leadership !== undefined)
      this.#trace.add(client.process?.name ?? 'observer', `holds lock ${lockNumber}`)
    return leadership
  }

  // ---- Statements

  #execute<Row>(text: string, parameters: readonly unknown[]): QueryResult<Row> {
    const { rows, affectedRows } = this.#engine.query<Row>(text, parameters)
    return { rows, numAffectedRows: BigInt(affectedRows) }
  }

  async #run<Row>(session: Session, text: string, parameters: readonly unknown[]) {
    const { inTransaction } = session
    const remembered = inTransaction ? undefined : this.#cache.get(text, parameters)
    if (remembered !== undefined) {
      this.counts.remembered += 1
      // proof: the same statement gave these rows
      return remembered as QueryResult<Row>
    }
    if (!inTransaction) await this.#takeTurn(session)
    this.#check(session)
    this.counts.executed += 1
    try {
      const result = this.#execute<Row>(text, parameters)
      this.#cache.note({ text, parameters, result, inTransaction })
      if (text.includes('update revision set value'))
        session.revision = (result.rows[0] as { value?: number } | undefined)?.value
      return result
    } finally {
      if (!session.inTransaction) this.#giveTurn(session)
    }
  }

  async #statement<Row>(session: Session, compiled: CompiledQuery): Promise<QueryResult<Row>> {
    const { process } = session.client
    const { parameters } = compiled
    const text = compiled.sql.trim()
    if (process === undefined) return this.#run<Row>(session, text, parameters)
    if (this.#isClosed || !process.point('a statement')) return never()
    await process.gate()
    await this.#way(session)
    this.#check(session)
    if (this.#base.monotonicMs() < this.#fullUntilMs && /^(insert|update|with)/i.test(text))
      throw connectionError('53100', 'could not extend file: No space left on device')
    this.#trace.add(process.name, `sql ${text.slice(0, 60)}`)
    const result = await this.#run<Row>(session, text, parameters)
    await this.#way(session)
    if (!process.point('an answer of the database')) return never()
    this.#check(session)
    await process.gate()
    return result
  }

  #check(session: Session): void {
    if (session.client.process?.isAlive === false) throw restarted()
    if (session.broken !== undefined) throw session.broken
  }

  async #takeTurn(session: Session): Promise<void> {
    const before = this.#queue
    let end = (): void => {}
    this.#queue = new Promise((resolve) => {
      end = resolve
    })
    await before
    if (session.broken === undefined) session.endTurn = end
    else end()
  }

  #giveTurn(session: Session): void {
    session.endTurn?.()
    session.endTurn = undefined
  }

  /** Half the way of a statement: it takes time, and may hang. */
  async #way(session: Session): Promise<void> {
    const isSlow = this.#base.monotonicMs() < this.#slowUntilMs
    if (isSlow || session.inTransaction) {
      const maxMs = isSlow ? this.#slowMaxMs : STATEMENT_MAX_MS / 2
      await this.#after(this.#random.fraction() * maxMs)
    }
    if (!this.#isCut(session.client)) return
    const cutMs = session.client.cutUntilMs - this.#base.monotonicMs()
    await Promise.race([
      this.#after(Math.min(cutMs, ANSWER_TIMEOUT_MS)),
      new Promise<void>((resolve) => session.client.hanging.push(resolve)),
    ])
    if (this.#isCut(session.client)) throw new Error('Query read timeout')
  }

  #after(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#base.after(delayMs, resolve))
  }

  #connectSession(client: Client): Promise<Session> {
    const { process } = client
    if (process !== undefined) {
      if (this.#isClosed || !process.isAlive) return never()
      if (this.#isDown) return Promise.reject(refused())
    }
    const session: Session = {
      client,
      endTurn: undefined,
      inTransaction: false,
      revision: undefined,
      broken: undefined,
      executeQuery: (compiled) => this.#statement(session, compiled),
      streamQuery: () => {
        throw new Error('streams of rows are not used')
      },
    }
    this.#sessions.add(session)
    return Promise.resolve(session)
  }

  async #begin(session: Session, text: string): Promise<void> {
    const { process } = session.client
    if (process !== undefined) {
      if (!process.point('the begin of a transaction')) return never()
      await process.gate()
      await this.#way(session)
    }
    await this.#takeTurn(session)
    this.#check(session)
    this.#execute(text, [])
    session.inTransaction = true
    if (session.broken !== undefined) return this.#end(session, 'rollback')
    if (process === undefined) return
    // The database ends a transaction that nobody goes on with, or others would wait for it for ever.
    this.#base.after(TRANSACTION_MAX_MS, () => {
      if (session.inTransaction)
        this.#break(session, connectionError('25P03', 'idle-in-transaction timeout'))
    })
  }

  async #commit(session: Session): Promise<void> {
    const { process } = session.client
    if (process !== undefined) {
      if (!process.point('a commit')) return never()
      await process.gate()
      await this.#way(session)
      this.#check(session)
      this.#trace.add(process.name, 'sql commit')
    }
    await this.#end(session, 'commit')
    if (process === undefined) return
    // From here on it is in force, whether its caller hears of it or not.
    await this.#way({ ...session, inTransaction: true })
    if (!process.point('the answer to a commit')) return never()
    this.#check(session)
    await process.gate()
  }

  async #end(session: Session, how: 'commit' | 'rollback'): Promise<void> {
    if (!session.inTransaction) return
    this.#execute(how, [])
    if (how === 'commit' && session.revision !== undefined)
      this.#committedAtMs.set(Number(session.revision), this.#base.monotonicMs())
    session.revision = undefined
    session.inTransaction = false
    this.#giveTurn(session)
  }

  #dialect(client: Client): Dialect {
    // proof: kysely hands back the connections that acquireConnection gave
    const driver: Driver = {
      init: () => Promise.resolve(),
      acquireConnection: () => this.#connectSession(client),
      releaseConnection: (session) => {
        this.#sessions.delete(session as Session)
        return Promise.resolve()
      },
      beginTransaction: (session, { isolationLevel }) =>
        this.#begin(
          session as Session,
          `begin${isolationLevel === undefined ? '' : ` isolation level ${isolationLevel}`}`,
        ),
      commitTransaction: (session) => this.#commit(session as Session),
      rollbackTransaction: (session) => this.#end(session as Session, 'rollback'),
      destroy: () => Promise.resolve(),
    }
    return dialectOf(driver)
  }
}
