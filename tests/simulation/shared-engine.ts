import { PGlite } from '@electric-sql/pglite'
import { migrate, readMigrations } from '@nubo/runtime'
import {
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
} from 'kysely'
import { PreparedEngine } from './prepared-engine.ts'

/** It lives in memory and dies with us, so what guards against a crash or counts for the watcher is left out: a sixth of a run. */
const SETTINGS = [
  'full_page_writes=off',
  'synchronous_commit=off',
  'wal_level=minimal',
  'max_wal_senders=0',
  'track_counts=off',
  'track_activities=off',
]

let shared: ReturnType<typeof sharedEngine> | undefined

/** One engine per machine process: making one takes seconds, emptying it milliseconds. */
async function sharedEngine(migrationsFolder: string) {
  const settings = SETTINGS.flatMap((setting) => ['-c', setting])
  const pglite = await PGlite.create({ startParams: [...PGlite.defaultStartParams, ...settings] })
  await migrate(
    new Kysely({ dialect: plainDialect(pglite) }),
    await readMigrations(migrationsFolder),
  )
  const tables = await pglite.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'migration' order by 1`,
  )
  const first: { table: string; rows: string }[] = []
  for (const { name } of tables.rows) {
    const found = await pglite.query<{ rows: string | null }>(
      `select jsonb_agg(to_jsonb(t))::text as rows from "${name}" t`,
    )
    first.push({ table: name, rows: found.rows[0]?.rows ?? '[]' })
  }
  return { pglite, engine: new PreparedEngine(pglite), first }
}

/** The engine with the first rows of the migrations, and nothing else. */
export async function emptiedEngine(migrationsFolder: string): Promise<PreparedEngine> {
  shared ??= sharedEngine(migrationsFolder)
  const { pglite, engine, first } = await shared
  // A run may have stopped in the middle of a transaction.
  engine.query('rollback', [])
  await pglite.exec(`truncate ${first.map(({ table }) => `"${table}"`).join(', ')}`)
  for (const { table, rows } of first) {
    if (rows !== '[]')
      await pglite.query(
        `insert into "${table}" select * from jsonb_populate_recordset(null::"${table}", $1::jsonb)`,
        [rows],
      )
  }
  return engine
}

export function dialectOf(driver: Driver): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => driver,
    createIntrospector: (database) => new PostgresIntrospector(database),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
}

/** For migrations, before anything is simulated. */
function plainDialect(pglite: PGlite): Dialect {
  const connection: DatabaseConnection = {
    executeQuery: async <Row>({ sql: text, parameters }: CompiledQuery) => {
      const { rows } = await pglite.query<Row>(text, [...parameters])
      return { rows }
    },
    streamQuery: () => {
      throw new Error('streams of rows are not used')
    },
  }
  const run = async (text: string): Promise<void> => void (await pglite.query(text))
  return dialectOf({
    init: () => Promise.resolve(),
    acquireConnection: () => Promise.resolve(connection),
    releaseConnection: () => Promise.resolve(),
    beginTransaction: () => run('begin'),
    commitTransaction: () => run('commit'),
    rollbackTransaction: () => run('rollback'),
    destroy: () => Promise.resolve(),
  })
}
