// Proves that refusals cost a bounded number of rows and of memory, whoever sends however many, and that none is forgotten.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, VirtualClock } from '@nubo/base'
import { silentLog } from '@nubo/runtime'
import type { AuditRow, CallAct } from '../../world/index.ts'
import { ACTOR_BURST, ACTORS_MAX, QUEUE_ROWS_MAX, RefusalLog, SERVER_BURST } from './refusals.ts'

const actBy = (actor: string): CallAct => ({
  by: 'call',
  actor,
  tokenId: null,
  accountId: null,
  projectId: null,
  requestId: 'r',
  call: 'setCreate',
  resourceKind: 'set',
  resource: 'web',
})

function open() {
  const written: AuditRow[] = []
  const database = { isDown: false }
  const clock = new VirtualClock()
  const log = new RefusalLog({
    clock,
    random: seededRandom(1),
    log: silentLog,
    insert: (rows) => {
      if (database.isDown) return Promise.reject(new Error('down'))
      written.push(...rows)
      return Promise.resolve()
    },
  })
  const add = (actor: string): void => log.add(actBy(actor), { code: 'FORBIDDEN', note: 'no' })
  const total = (): number => written.reduce((sum, { count }) => sum + count, 0)
  return { written, database, clock, log, add, total }
}

test('one actor gets so many rows, the rest is one row with their number', async () => {
  const { written, log, add } = open()
  for (let at = 0; at < 10_000; at++) add('mallory')
  add('alice')
  await log.stop()
  assert.equal(
    written.filter(({ actor, count }) => actor === 'mallory' && count === 1).length,
    ACTOR_BURST,
  )
  const counted = written.find(({ count }) => count > 1)
  assert.equal(counted?.count, 10_000 - ACTOR_BURST)
  assert.match(counted?.note ?? '', /9900 more refusals, the first of them FORBIDDEN/)
  assert.equal(written.filter(({ actor }) => actor === 'alice').length, 1, 'others are still told')
})

test('after a while the actor is told one by one again', async () => {
  const { written, clock, log, add } = open()
  for (let at = 0; at < ACTOR_BURST + 5; at++) add('mallory')
  await clock.advance(60_000)
  add('mallory')
  await log.stop()
  assert.equal(written.filter(({ count }) => count === 1).length, ACTOR_BURST + 1)
})

test('many actors together are bounded too, in rows and in memory', async () => {
  const { written, log, add, total } = open()
  for (let at = 0; at < 20_000; at++) add(`actor-${at}`)
  assert.ok(log.waiting <= SERVER_BURST)
  await log.stop()
  assert.equal(total(), 20_000)
  assert.ok(written.length <= SERVER_BURST + ACTORS_MAX + 1, `${written.length} rows`)
})

test('while the database takes nothing they wait, so many at most, and nothing is forgotten', async () => {
  const { written, database, clock, log, add, total } = open()
  database.isDown = true
  log.start()
  let sent = 0
  for (let round = 0; round < 100; round++) {
    for (let at = 0; at < 100; at++) add(`actor-${round}`)
    sent += 100
    await clock.advance(1_000)
    assert.ok(log.waiting <= QUEUE_ROWS_MAX)
  }
  assert.equal(written.length, 0)
  database.isDown = false
  await clock.advance(1_000)
  await log.stop()
  assert.equal(total(), sent)
})
