import { readMigrations, type Database, type Migration } from '@nubo/runtime'
import type { Tables } from '@nubo/control-plane'
import { sql, type Transaction } from 'kysely'

const folder = new URL('../../control-plane/migrations', import.meta.url).pathname
export const migrations: readonly Migration[] = await readMigrations(folder)
const numberAfter = (count: number): string => String(migrations.length + count).padStart(4, '0')

/** What a release after this one may do: a new kind of row, new columns of all sorts. With names that no real one takes. */
export const additive: Migration = {
  name: `${numberAfter(1)}-tomorrow`,
  text: `create table tomorrow (
  id uuid primary key,
  project_id uuid not null references project,
  name text not null,
  set_id uuid references set
);
alter table set add column tomorrow_rank integer not null default 7;
alter table host add column tomorrow_power jsonb;
alter table port add column tomorrow_id uuid references tomorrow;
alter table operation add column tomorrow_steps jsonb not null default '[]';
`,
}

/** What it may do only if it says so: take away what servers of this release read. */
export const breaking: Migration = {
  name: `${numberAfter(2)}-no-labels`,
  text: `-- Oldest server: ${numberAfter(1)}
alter table project add column tomorrow_motto text;
`,
}

/**
 * Writes as a server of the next release does: what `change` did to these rows reaches the feed in the same transaction.
 * Returns the revision.
 */
export async function writeAsNext(
  database: Database<Tables>,
  rows: readonly { readonly kind: string; readonly table: string; readonly id: string }[],
  change: (tx: Transaction<Tables>) => Promise<void>,
): Promise<number> {
  return database.query.transaction().execute(async (tx) => {
    await change(tx)
    const { value } = await tx
      .updateTable('revision')
      .set(({ eb }) => ({ value: eb('value', '+', 1) }))
      .returning('value')
      .executeTakeFirstOrThrow()
    for (const [sequence, { kind, table, id }] of rows.entries())
      await sql`insert into feed (revision, sequence, at_ms, kind, id, body)
        select ${value}, ${sequence}, 1, ${kind}, id, to_jsonb(t) from ${sql.table(table)} t where id = ${id}`.execute(
        tx,
      )
    await sql`select pg_notify('nubo_feed', ${String(value)})`.execute(tx)
    return value
  })
}
