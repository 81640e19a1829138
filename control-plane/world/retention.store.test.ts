// Proves that the feed shrinks to what is kept, in steps that a statement's timeout allows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@nubo/runtime'
import { sql } from 'kysely'
import { openTestDatabase } from '../../tests/support/database.ts'
import { dropOldFeed, type Tables } from './index.ts'

test('a long feed goes in steps, and its newest part stays', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const REVISIONS = 60_000
  await sql`
    insert into feed (revision, sequence, at_ms, kind, id, body)
    select n, 1, 1, 'set', '00000000-0000-7000-8000-000000000001', null
    from generate_series(1, ${REVISIONS}::bigint) n`.execute(database.query)
  await sql`update revision set value = ${REVISIONS}`.execute(database.query)
  const rows = async () => {
    const { count, oldest } = await database.query
      .selectFrom('feed')
      .select(({ fn }) => [
        fn.countAll<number>().as('count'),
        fn.min<number>('revision').as('oldest'),
      ])
      .executeTakeFirstOrThrow()
    return { count: Number(count), oldest: Number(oldest) }
  }
  const drop = () => dropOldFeed({ database, clock: systemClock })
  assert.equal(await drop(), true)
  assert.deepEqual(await rows(), { count: 40_000, oldest: 20_001 })
  assert.equal(await drop(), true)
  assert.equal(await drop(), false)
  assert.deepEqual(await rows(), { count: 10_001, oldest: 50_000 })
  assert.equal(await drop(), false)
})

test('what is recent stays, however much it is', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  await sql`
    insert into feed (revision, sequence, at_ms, kind, id, body)
    select n, 1, ${systemClock.nowMs()}, 'set', '00000000-0000-7000-8000-000000000001', null
    from generate_series(1, 30000) n`.execute(database.query)
  await sql`update revision set value = 30000`.execute(database.query)
  assert.equal(await dropOldFeed({ database, clock: systemClock }), false)
  const { count } = await database.query
    .selectFrom('feed')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  assert.equal(Number(count), 30_000)
})
