import { PGlite } from '@electric-sql/pglite'
import { migrate, readMigrations, type Database, type Leadership } from '@nubo/runtime'
import {
  CamelCasePlugin,
  CompiledQuery,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from 'kysely'

/**
 * A PostgreSQL in this process, shared by all simulated servers. It has one connection: transactions take turns, in the
 * order in which they ask, so a run depends on nothing but its seed. Locks that outlive a statement are kept here,
 * since all servers would hold them together.
 */
export class SharedPglite {
  readonly #pglite: PGlite
  readonly #locks = new Map<number, { shared: boolean; holders: Set<AbortController> }>()
  #turn: Promise<void> = Promise.resolve()
  #busy = 0

  private constructor(pglite: PGlite) {
    this.#pglite = pglite
  }

  static async open(migrationsFolder: string): Promise<SharedPglite> {
    const shared = new SharedPglite(await PGlite.create())
    await migrate(shared.#kysely(), await readMigrations(migrationsFolder))
    return shared
  }

  /** Whether any statement or transaction is under way or waits for its turn. */
  get isBusy(): boolean {
    return this.#busy > 0
  }

  #kysely<Tables>(isDead: () => boolean = () => false): Kysely<Tables> {
    return new Kysely<Tables>({
      dialect: this.#dialect(isDead),
      plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
    })
  }

  /** One server's view. Closing it leaves the database to the others; `isDead` makes it as a killed process leaves it. */
  connect<Tables>(isDead: () => boolean = () => false): Database<Tables> {
    const ends: (() => Promise<void>)[] = []
    const held = new Set<AbortController>()
    return {
      query: this.#kysely<Tables>(isDead),
      andCommit: '',
      listen: async (channel, onNotify) => {
        ends.push(await this.#pglite.listen(channel, onNotify))
      },
      tryLead: (lockNumber, how) =>
        Promise.resolve(this.#tryLead(lockNumber, how?.shared === true, held)),
      close: async () => {
        for (const holder of held) holder.abort(new Error('the connection ended'))
        await Promise.all(ends.map((end) => end()))
      },
    }
  }

  async close(): Promise<void> {
    await this.#pglite.close()
  }

  #tryLead(
    lockNumber: number,
    shared: boolean,
    held: Set<AbortController>,
  ): Leadership | undefined {
    const lock = this.#locks.get(lockNumber) ?? { shared, holders: new Set() }
    if (lock.holders.size > 0 && !(lock.shared && shared)) return undefined
    lock.shared = shared
    this.#locks.set(lockNumber, lock)
    const holder = new AbortController()
    lock.holders.add(holder)
    held.add(holder)
    holder.signal.addEventListener('abort', () => {
      lock.holders.delete(holder)
      held.delete(holder)
    })
    return {
      signal: holder.signal,
      release: () => {
        holder.abort(new Error('released'))
        return Promise.resolve()
      },
    }
  }

  #dialect(isDead: () => boolean): Dialect {
    const pglite = this.#pglite
    const connection: DatabaseConnection = {
      executeQuery: async <Row>(compiled: CompiledQuery): Promise<QueryResult<Row>> => {
        // What a killed process had begun is rolled back by the database.
        if (isDead() && compiled.sql !== 'rollback') throw new Error('Connection terminated')
        const { rows, affectedRows } = await pglite.query<Row>(compiled.sql, [
          ...compiled.parameters,
        ])
        return {
          rows,
          ...(affectedRows === undefined ? {} : { numAffectedRows: BigInt(affectedRows) }),
        }
      },
      streamQuery: () => {
        throw new Error('streams of rows are not used')
      },
    }
    const releases = new Map<DatabaseConnection, () => void>()
    const driver: Driver = {
      init: () => Promise.resolve(),
      acquireConnection: async () => {
        this.#busy++
        const before = this.#turn
        let release = (): void => {}
        this.#turn = new Promise((resolve) => {
          release = resolve
        })
        await before
        // Each turn has its own object, so that its release can be found.
        const turn = { ...connection }
        releases.set(turn, release)
        return turn
      },
      releaseConnection: (turn) => {
        this.#busy--
        releases.get(turn)?.()
        releases.delete(turn)
        return Promise.resolve()
      },
      beginTransaction: async (turn, settings) => {
        const level =
          settings.isolationLevel === undefined ? '' : ` isolation level ${settings.isolationLevel}`
        await turn.executeQuery(CompiledQuery.raw(`begin${level}`))
      },
      commitTransaction: async (turn) =>
        void (await turn.executeQuery(CompiledQuery.raw('commit'))),
      rollbackTransaction: async (turn) =>
        void (await turn.executeQuery(CompiledQuery.raw('rollback'))),
      destroy: () => Promise.resolve(),
    }
    return {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => driver,
      createIntrospector: (database) => new PostgresIntrospector(database),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    }
  }
}
