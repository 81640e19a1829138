import { statementsOf } from '@nubo/runtime'

/** What servers that do not know of it cannot live with; each with the table that it is about as the first group. */
const breakingForms: readonly RegExp[] = [
  /^drop table (?:if exists )?(\w+)/,
  /^alter table (\w+) (?:.*, ?)?drop column/,
  /^alter table (\w+) rename/,
  /^alter table (\w+) (?:.*, ?)?alter column \w+ (?:set data )?type/,
  /^alter table (\w+) (?:.*, ?)?alter column \w+ set not null/,
  /^create unique index (?:\w+ )?on (\w+)/,
]
/** What is written as jsonb is cast on its way in, and both are read alike. */
const jsonbAsText = / alter column (\w+) type json using \1::json$/
const addedColumn = /add column (?:if not exists )?(?:[^,(]|\([^)]*\))*/g

/**
 * The statements of a migration after which a server that does not know it can fail: what it reads or writes is gone, or what
 * it writes is refused. A table that the same migration makes may be as it likes, and a constraint may be replaced by a
 * looser one (that it is looser, the reviewer sees). Fit for the plain statements of migrations, not for all of SQL.
 */
export function breakingStatements(text: string): string[] {
  const statements = statementsOf(text).map((one) => one.toLowerCase().replaceAll(/\s+/g, ' '))
  const made = new Set(
    statements.flatMap((one) => /^create table (?:if not exists )?(\w+)/.exec(one)?.[1] ?? []),
  )
  const loosened = new Set(
    statements.flatMap((one) => /^alter table (\w+) drop constraint/.exec(one)?.[1] ?? []),
  )
  return statements.filter((statement) => {
    if (jsonbAsText.test(statement)) return false
    const table = breakingForms.map((form) => form.exec(statement)?.[1]).find(Boolean)
    if (table !== undefined) return !made.has(table)
    const altered = /^alter table (\w+)/.exec(statement)?.[1]
    if (altered === undefined || made.has(altered)) return false
    if (/ add constraint .*(check|unique|exclude|foreign key)/.test(statement))
      return !loosened.has(altered)
    return (statement.match(addedColumn) ?? []).some(
      (column) => column.includes('not null') && !column.includes('default'),
    )
  })
}
