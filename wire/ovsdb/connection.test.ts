import assert from 'node:assert/strict'
import { test } from 'node:test'

import { connectOvsdb, type OvsdbConnection } from './connection.ts'
import type { OvsdbError } from './errors.ts'
import { ManualTimers, settle } from './testing/manual-timers.ts'
import { SCHEMA_REPLY } from './testing/schema.ts'
import { ScriptedServer } from './testing/scripted-server.ts'
import { insert } from './transact.ts'
import { toUuid } from './value.ts'

const A = toUuid('00000000-0000-4000-8000-00000000000a')

interface Rig {
  servers: ScriptedServer[]
  connection: OvsdbConnection
  timers: ManualTimers
  ready: () => number
  errors: OvsdbError[]
  /** Answers schema and monitor of the newest server. */
  serve: (result: unknown) => Promise<ScriptedServer>
}

function rig(): Rig {
  const servers: ScriptedServer[] = []
  const errors: OvsdbError[] = []
  const timers = new ManualTimers()
  let readyCount = 0
  const connection = connectOvsdb({
    open: () => {
      const server = new ScriptedServer()
      servers.push(server)
      return server.clientEnd
    },
    database: 'Test',
    tables: { Part: ['name'] },
    random: () => 0,
    timers,
    keepAliveMs: 0,
    backoffMs: { first: 100, last: 1_000 },
    attemptDeadlineMs: 2_000,
    onReady: () => (readyCount += 1),
    onDisconnected: (error) => errors.push(error),
  })
  const serve = async (result: unknown): Promise<ScriptedServer> => {
    const server = servers.at(-1)
    assert.ok(server)
    await settle()
    server.reply(SCHEMA_REPLY)
    await settle()
    server.reply(result)
    await settle()
    return server
  }
  return { servers, connection, timers, ready: () => readyCount, errors, serve }
}

test('it is ready when the replica is, and comes back after a loss from where it was', async () => {
  const { servers, connection, timers, ready, errors, serve } = rig()
  const server = await serve([false, 't1', { Part: { [A]: { initial: { name: 'p' } } } }])
  assert.equal(connection.isReady, true)
  await connection.whenReady(0)
  server.end()
  await settle()
  assert.equal(connection.isReady, false)
  assert.deepEqual(
    errors.map((error) => error.kind),
    ['lost'],
  )
  assert.deepEqual(connection.replica.table('Part').get(A), { name: 'p' }, 'readable meanwhile')
  const waiting = connection.whenReady(10_000)
  await timers.advance(50)
  assert.equal(servers.length, 2)
  await serve([true, 't2', { Part: { [A]: { modify: { name: 'q' } } } }])
  await waiting
  assert.equal(servers[1]?.received[1]?.params[3], 't1')
  assert.deepEqual(connection.replica.table('Part').get(A), { name: 'q' })
  assert.equal(ready(), 2)
  connection.close()
  assert.equal(timers.pending, 0)
})

test('calls without a connection reject at once, with the reason', async () => {
  const { connection, servers } = rig()
  servers[0]?.end()
  await settle()
  await assert.rejects(connection.transact([insert('Part', {})]), {
    kind: 'unavailable',
    details: 'the peer ended the connection',
  })
  connection.close()
  await assert.rejects(connection.whenReady(1_000), { kind: 'unavailable' })
})

test('waiting ends at its deadline', async () => {
  const { connection, timers } = rig()
  const rejected = assert.rejects(connection.whenReady(300), { kind: 'unavailable' })
  await timers.advance(300)
  await rejected
  connection.close()
})

test('pauses double up to the last and begin small again after success', async () => {
  const { servers, connection, timers, serve } = rig()
  // With random 0 a pause is half of its ceiling: 50, 100, 200, 400, 500, 500.
  for (const [count, pause] of [50, 100, 200, 400, 500, 500].entries()) {
    servers.at(-1)?.end()
    await settle()
    await timers.advance(pause - 1)
    assert.equal(servers.length, count + 1)
    await timers.advance(1)
    assert.equal(servers.length, count + 2)
  }
  const server = await serve([false, 't1', {}])
  server.end()
  await settle()
  const before = servers.length
  await timers.advance(50)
  assert.equal(servers.length, before + 1)
  connection.close()
})

test('an attempt that is never answered is given up and tried again', async () => {
  const { servers, connection, timers, errors } = rig()
  await timers.advance(2_000)
  assert.equal(errors.length, 1)
  await timers.advance(50)
  assert.equal(servers.length, 2)
  connection.close()
})

test('a server that refuses the monitor, or lacks a column, is left and the reason is kept', async () => {
  const { connection, errors, serve, servers, timers } = rig()
  const server = servers[0]
  await settle()
  server?.replyError({ error: 'unknown database', details: 'Test' })
  await settle()
  assert.equal(errors[0]?.error, 'unknown database')
  await timers.advance(50)
  await settle()
  servers[1]?.reply({ name: 'Test', tables: {} })
  await settle()
  assert.equal(connection.lastError?.error, 'the database lacks a column')
  await timers.advance(100)
  await serve([false, 't', {}])
  assert.equal(connection.isReady, true)
  connection.close()
})

test('closing in any state stops everything', async () => {
  for (const stage of ['connecting', 'ready', 'waiting']) {
    const { connection, serve, servers, timers } = rig()
    if (stage !== 'connecting') await serve([false, 't', {}])
    if (stage === 'waiting') servers[0]?.end()
    await settle()
    connection.close()
    connection.close()
    await timers.advance(60_000)
    assert.equal(servers.length, 1, stage)
    assert.equal(timers.pending, 0, stage)
  }
})
