/**
 * `node tools/emit-schema.ts`, after each new migration: applies all migrations to a PostgreSQL of its own and writes what
 * comes out to control-plane/migrations/schema.sql.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  migrate,
  openDatabase,
  PostgresServer,
  readMigrations,
  silentLog,
  systemClock,
} from '@nubo/runtime'
import { top } from './checkout.ts'
import { schemaText } from './schema-text.ts'

const migrations = join(top, 'control-plane', 'migrations')

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nubo-schema-'))
  // The server's account must be able to pass.
  chmodSync(folder, 0o755)
  const server = new PostgresServer({
    folder: join(folder, 'db'),
    runFolder: join(folder, 'run'),
    logFile: join(folder, 'log'),
  })
  try {
    await server.start()
    const database = openDatabase({ url: server.url, clock: systemClock, log: silentLog })
    try {
      await migrate(database.query, await readMigrations(migrations))
    } finally {
      await database.close()
    }
    const path = join(migrations, 'schema.sql')
    writeFileSync(path, await schemaText(server.url))
    process.stdout.write(`Wrote ${path}\n`)
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
