// Proves that statements which are sent without waiting fail and commit as if each had been waited for.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { sql } from 'kysely'
import { openTestDatabase } from '../../tests/support/database.ts'
import { silentLog } from '../process/log.ts'
import { systemClock } from '../process/system.ts'
import { isRetryableConflict, openDatabase, violatedConstraint, type Database } from './database.ts'
import { PreparedNames, withNext } from './pipeline.ts'

interface Tables {
  thing: { number: number }
}

async function open(context: TestContext, connectionsMax = 4): Promise<Database<Tables>> {
  const { url } = await openTestDatabase(context)
  const database = openDatabase<Tables>({
    url,
    clock: systemClock,
    log: silentLog,
    connectionsMax,
  })
  context.after(() => database.close())
  await sql`create table thing (number integer constraint thing_number primary key)`.execute(
    database.query,
  )
  return database
}

async function numbers(database: Database<Tables>): Promise<number[]> {
  const rows = await database.query.selectFrom('thing').select('number').orderBy('number').execute()
  return rows.map((row) => row.number)
}

test('the next statement fails in place of one that was sent with it, and nothing stays', async (context) => {
  const database = await open(context, 1)
  const insert = database.query.insertInto('thing').values({ number: 1 })
  await insert.execute()
  await assert.rejects(
    database.query.transaction().execute(async (tx) => {
      await tx.insertInto('thing').values({ number: 2 }).modifyEnd(withNext).execute()
      await tx.insertInto('thing').values({ number: 1 }).modifyEnd(withNext).execute()
      await tx.insertInto('thing').values({ number: 3 }).modifyEnd(withNext).execute()
      await tx.selectFrom('thing').select('number').execute()
      assert.fail('it went on')
    }),
    (error) => violatedConstraint(error) === 'thing_number',
  )
  assert.deepEqual(await numbers(database), [1])
})

test('the commit fails in place of the last statement before it, however it is sent', async (context) => {
  const database = await open(context, 1)
  const andCommit = sql.raw(database.andCommit)
  await database.query.insertInto('thing').values({ number: 1 }).execute()
  const double = [
    sql`insert into thing values (${2}), (${1}) ${withNext}`,
    sql`insert into thing values (${2}), (${1})${andCommit}`,
  ]
  for (const statement of double)
    await assert.rejects(
      database.query.transaction().execute((tx) => statement.execute(tx)),
      (error) => violatedConstraint(error) === 'thing_number',
    )
  assert.deepEqual(await numbers(database), [1])
  await database.query.transaction().execute(async (tx) => {
    await sql`insert into thing values (${2}) ${withNext}`.execute(tx)
    await sql`insert into thing values (${3})${andCommit}`.execute(tx)
  })
  assert.deepEqual(await numbers(database), [1, 2, 3])
})

test('whoever gives up before anything was asked leaves a connection that works', async (context) => {
  const database = await open(context, 1)
  await assert.rejects(
    database.query.transaction().execute(async (tx) => {
      await tx.insertInto('thing').values({ number: 1 }).modifyEnd(withNext).execute()
      throw new Error('not after all')
    }),
    /not after all/,
  )
  await database.query.transaction().execute(() => Promise.resolve())
  assert.deepEqual(await numbers(database), [])
})

test('a lock that is sent with the next statement is waited for before that one looks', async (context) => {
  const database = await open(context)
  await database.query.insertInto('thing').values({ number: 1 }).execute()
  const isHeld = Promise.withResolvers<void>()
  const first = database.query.transaction().execute(async (tx) => {
    await sql`select number from thing where number = ${1} for no key update`.execute(tx)
    isHeld.resolve()
    await sql`select pg_sleep(${0.2})`.execute(tx)
    await sql`insert into thing values (${2})`.execute(tx)
  })
  await isHeld.promise
  const seen = await database.query.transaction().execute(async (tx) => {
    await sql`select number from thing where number = ${1} for no key update ${withNext}`.execute(
      tx,
    )
    return sql`select number from thing where number > ${0}`.execute(tx)
  })
  await first
  assert.equal(seen.rows.length, 2)
})

test('what a migration changes under a prepared statement may be asked again, on every connection', async (context) => {
  const database = await open(context)
  await database.query.insertInto('thing').values({ number: 1 }).execute()
  const ask = () => database.query.selectFrom('thing').select('number').where('number', '>', 0)
  await Promise.all([1, 2, 3, 4].map(() => ask().execute()))
  await sql`alter table thing alter column number type bigint`.execute(database.query)
  await assert.rejects(ask().execute(), isRetryableConflict)
  for (const _again of [1, 2, 3, 4, 5, 6, 7, 8]) assert.equal((await ask().execute()).length, 1)
})

test('only so many statements are prepared, and none whose answer follows its table', () => {
  const names = new PreparedNames()
  assert.equal(names.nameOf('select * from thing where number = $1', 1), undefined)
  assert.equal(names.nameOf('select number from thing', 0), undefined)
  assert.equal(names.nameOf('insert into thing values …', 33), undefined)
  const made = Array.from({ length: 1_000 }, (_none, n) => names.nameOf(`select ${n} + $1`, 1))
  assert.equal(new Set(made).size, 201, 'two hundred names, and none for the rest')
  assert.equal(names.nameOf('select 7 + $1', 1), made[7])
  names.forget()
  assert.ok(!made.includes(names.nameOf('select 7 + $1', 1)), 'a name is not used again')
})
