import { sql, type RawBuilder } from 'kysely'

/**
 * Many JSON texts as one parameter: an SQL expression of type `text[]`, null where a text is null. Cast each element
 * where it is used. An array of JSON as a parameter has each of its quotes escaped by us and undone by the database,
 * which costs several times what all the rest of an insert does. Texts are as `JSON.stringify` and PostgreSQL write
 * them: never empty, and without a line feed, which both write as `\n`. One text of SQL for any number of them, so that the
 * statement stays prepared.
 */
export function jsonLines(texts: readonly (string | null)[]): RawBuilder<string[]> {
  // The empty text stands for null. Alone it would be an array of nothing, so another stands behind it, which nobody reads.
  const lines = texts.map((text) => text ?? '').join('\n')
  return sql<
    string[]
  >`(string_to_array(${`${lines}\n`}, ${sql.lit('\n')}, ''))[1:${texts.length}::integer]`
}
