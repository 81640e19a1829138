import { sql, type RawBuilder } from 'kysely'
import type { Row } from './rows.ts'
import type { WorldTables } from './tables.ts'

/**
 * The columns of a table, told one by one: a statement with a star is never prepared, since its answer changes with its
 * table. A NEW COLUMN NEEDS ITS PLACE wherever this is called; the type asks for it.
 */
export function columnsOf<Kind extends keyof WorldTables>(
  _kind: Kind,
  columns: Readonly<Record<keyof Row<Kind> & string, true>>,
): readonly (keyof Row<Kind> & string)[] {
  // proof: these are the keys that its type has
  return Object.keys(columns) as (keyof Row<Kind> & string)[]
}

const snakeCase = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/**
 * `insert into TABLE …` of one row or more, all with the same keys: one statement and one parameter for any number, so
 * that it stays prepared. Append `returning` or `withNext` as needed.
 */
export function insertRows<Kind extends keyof WorldTables>(
  kind: Kind,
  rows: readonly [Row<Kind>, ...Row<Kind>[]],
): RawBuilder<unknown> {
  const table = sql.raw(`"${snakeCase(kind)}"`)
  const columns = sql.raw(Object.keys(rows[0]).map(snakeCase).join(', '))
  const stored = rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([key, value]) => [snakeCase(key), value])),
  )
  return sql`insert into ${table} (${columns})
    select ${columns} from jsonb_populate_recordset(null::${table}, ${JSON.stringify(stored)}::jsonb)`
}
