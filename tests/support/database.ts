import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext } from 'node:test'
import {
  migrate,
  openDatabase,
  PostgresServer,
  readMigrations,
  silentLog,
  systemClock,
  type Database,
} from '@nubo/runtime'
import pg from 'pg'

/** One private PostgreSQL for all tests of a process; it goes with the process's last test. */
let server: Promise<{ server: PostgresServer; folder: string }> | undefined
let databases = 0

async function startServer(): Promise<{ server: PostgresServer; folder: string }> {
  // /tmp itself, because the folder's parents must be passable for the server's account.
  const folder = mkdtempSync(join(tmpdir(), 'nt-pg-'))
  const fresh = new PostgresServer({
    folder: join(folder, 'db'),
    runFolder: join(folder, 'run'),
    logFile: join(folder, 'log'),
    sharedBuffersMib: 32,
  })
  chmodSync(folder, 0o755)
  await fresh.start()
  return { server: fresh, folder }
}

// At the top of the file, since a hook registered inside a test belongs to that test.
after(async () => {
  const running = await server?.catch(() => undefined)
  await running?.server.stop()
  if (running !== undefined) rmSync(running.folder, { recursive: true, force: true })
})

export interface TestDatabase<Tables> {
  readonly url: string
  readonly database: Database<Tables>
}

const migrationsFolder = new URL('../../control-plane/migrations', import.meta.url).pathname

/** A fresh database with all migrations applied; closed and dropped after the test. */
export async function openTestDatabase<Tables>(
  context: TestContext,
  options: { migrated?: boolean } = {},
): Promise<TestDatabase<Tables>> {
  server ??= startServer()
  const { server: running } = await server
  const name = `test_${++databases}`
  await admin(running.url, `create database ${name}`)
  const url = running.url.replace(/\/nubo$/, `/${name}`)
  const database = openDatabase<Tables>({ url, clock: systemClock, log: silentLog })
  context.after(async () => {
    await database.close()
    await admin(running.url, `drop database ${name} with (force)`)
  })
  if (options.migrated !== false)
    await migrate(database.query, await readMigrations(migrationsFolder))
  return { url, database }
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
