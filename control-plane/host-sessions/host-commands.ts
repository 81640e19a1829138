import type { Database } from '@nubo/runtime'
import { sql } from 'kysely'
import type { Tables } from '../world/index.ts'
import type { HostCommands } from './needs.ts'

const HOST_COMMAND_CHANNEL = 'nubo_host_command'

/** Between server processes, through the notifications of their database. Payloads: at most 8,000 bytes. */
export function databaseHostCommands(database: Database<Tables>): HostCommands {
  return {
    broadcast: async (payload) => {
      await sql`select pg_notify(${HOST_COMMAND_CHANNEL}, ${payload})`.execute(database.query)
    },
    listen: (onCommand) => database.listen(HOST_COMMAND_CHANNEL, onCommand),
  }
}
