// Proves that the audit stays within its age and its number of rows, and gives back what it keeps in order.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId, type Clock } from '@nubo/base'
import { systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../tests/support/database.ts'
import type { AuditRow, Tables } from '../../world/index.ts'
import { dropOldAudit } from './reconcilers/drop.ts'
import { insertAudit, readAudit } from './store.ts'

const DAY_MS = 86_400_000
const nowMs = systemClock.nowMs()
const clock: Clock = { ...systemClock, nowMs: () => nowMs }

function row(ageMs: number): AuditRow {
  const atMs = nowMs - ageMs
  return {
    id: newId({ ...clock, nowMs: () => atMs }, systemRandom),
    atMs,
    actor: 'ci',
    tokenId: null,
    accountId: null,
    projectId: null,
    requestId: null,
    call: 'setCreate',
    resourceKind: 'set',
    resourceId: null,
    resourceName: 'web',
    outcome: 'done',
    code: null,
    note: null,
    count: 1,
    beforeSha256: null,
    afterSha256: null,
  }
}

const everything = {
  projectId: undefined,
  fromId: undefined,
  beforeId: undefined,
  actor: undefined,
  resource: undefined,
  outcome: undefined,
  limit: 10_000,
}

test('rows go when they are too old or too many, in batches, the oldest first', async (t) => {
  const { database } = await openTestDatabase<Tables>(t)
  const old = Array.from({ length: 5_100 }, (_, at) => row(91 * DAY_MS + at))
  const recent = Array.from({ length: 200 }, (_, at) => row(at * 1_000))
  await insertAudit(database, [...old, ...recent])
  const pass = (rowsMax: number) =>
    dropOldAudit({ database, clock, retention: { days: 90, rowsMax } })
  assert.equal(await pass(100_000), true, 'a full batch: more are to go')
  assert.equal(await pass(100_000), false)
  const kept = await readAudit(database, everything)
  assert.deepEqual(
    kept.map(({ id }) => id),
    recent.map(({ id }) => id),
  )
  assert.deepEqual(kept[0], { ...recent[0] })
  await pass(50)
  assert.deepEqual(
    (await readAudit(database, everything)).map(({ id }) => id),
    recent.slice(0, 50).map(({ id }) => id),
  )
})
