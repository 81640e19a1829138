// Proves that texts sent as lines arrive as they were, wherever nulls stand among them, also in a statement that commits.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { openTestDatabase } from '../../tests/support/database.ts'
import { jsonLines } from './json-lines.ts'

const awkward = JSON.stringify({
  "it's": 'a "quote"',
  back: 'a \\ b \\n',
  line: 'one\ntwo',
  dollar: '$1 $&',
})
const cases: readonly (readonly (string | null)[])[] = [
  [],
  [null],
  [null, null],
  ['{}'],
  [awkward],
  ['1', null],
  [null, '2'],
  ['1', null, awkward, null],
]

test('texts arrive as they were', async (t) => {
  const { database } = await openTestDatabase<object>(t)
  for (const texts of cases) {
    const plain = await sql<{ found: unknown }>`select ${jsonLines(texts)} as found`.execute(
      database.query,
    )
    assert.deepEqual(plain.rows[0]?.found, texts)
    const found = await database.query.transaction().execute(async (tx) => {
      const reply = await sql<{
        found: unknown
      }>`select ${jsonLines(texts)} as found${sql.raw(database.andCommit)}`.execute(tx)
      return reply.rows[0]?.found
    })
    assert.deepEqual(found, texts)
  }
})
