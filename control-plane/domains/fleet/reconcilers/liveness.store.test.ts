// Proves when a host becomes unreachable and ready again, and that nothing else makes it so.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { HostId } from '@nubo/base'
import { helloOf, joinHost, newSessionId, openServers, type TestServer } from '../testing/region.ts'
import { RECORD_STALE_MAX_MS } from '../lease.ts'
import { readLiveness, recordSilence } from '../liveness-store.ts'
import { lockHost } from '../store.ts'
import { noFence } from '../testing/region.ts'
import { RETURN_GRACE_MS, SILENCE_MAX_MS, type LivenessReconciler } from './liveness.ts'

interface Connected {
  readonly server: TestServer
  readonly hostId: HostId
  readonly sessionId: string
}

async function connectHost(context: TestContext): Promise<Connected> {
  const [server] = await openServers(context)
  assert.ok(server)
  const { hostId } = await joinHost(server, 'h1')
  const sessionId = newSessionId()
  await reconnect({ server, hostId, sessionId })
  return { server, hostId, sessionId }
}

/** Host h2, h3, … with a tunnel address of its own. */
async function connectAnother(server: TestServer, number: number): Promise<Connected> {
  const { hostId } = await joinHost(server, `h${number}`)
  const sessionId = newSessionId()
  const hello = { ...helloOf(hostId), vtepAddress: `10.1.0.${number}` }
  await server.fleet.presence.connected(hostId, hello, { serverName: 's1', sessionId })
  return { server, hostId, sessionId }
}

async function reconnect({ server, hostId, sessionId }: Connected): Promise<void> {
  const by = { serverName: 's1', sessionId }
  await server.fleet.presence.connected(hostId, helloOf(hostId), by)
}

/** Lets time pass with a pass every second; with a heartbeat recorded before each where the host lives. */
async function passTime(
  { server, hostId, sessionId }: Connected,
  reconciler: LivenessReconciler,
  asked: { ms: number; alive: boolean },
): Promise<void> {
  for (let passedMs = 0; passedMs < asked.ms; passedMs += 1_000) {
    server.clock.move(1_000)
    if (asked.alive) {
      server.fleet.presence.heard(hostId, sessionId)
      await server.fleet.presence.stop() // writes what was heard
    }
    await reconciler.pass()
  }
}

test('a host whose heartbeats are recorded stays ready without a single change of the world', async (context) => {
  const host = await connectHost(context)
  const { revision } = host.server.world
  const reconciler = host.server.fleet.newLivenessReconciler()
  await passTime(host, reconciler, { ms: 4 * SILENCE_MAX_MS, alive: true })
  assert.equal(host.server.world.revision, revision)
})

test('a silent host becomes unreachable with a reason, once, and ready again when it connects', async (context) => {
  const host = await connectHost(context)
  const { server, hostId } = host
  const reconciler = server.fleet.newLivenessReconciler()
  await passTime(host, reconciler, { ms: SILENCE_MAX_MS, alive: false })
  assert.equal(server.world.host.get(hostId)?.state, 'ready')
  const heardAtMs = (
    await server.database.query
      .selectFrom('hostLiveness')
      .select('heardAtMs')
      .executeTakeFirstOrThrow()
  ).heardAtMs
  await passTime(host, reconciler, { ms: 3_000, alive: false })
  const row = server.world.host.get(hostId)
  assert.equal(row?.state, 'unreachable')
  assert.equal(row.reason?.code, 'HOST_UNREACHABLE')
  assert.equal(row.sinceMs, heardAtMs)
  assert.equal(row.sessionId, null)
  const { revision } = server.world
  await passTime(host, reconciler, { ms: SILENCE_MAX_MS, alive: false })
  assert.equal(server.world.revision, revision)
  await reconnect({ ...host, sessionId: newSessionId() })
  assert.equal(server.world.host.get(hostId)?.state, 'ready')
  assert.equal(server.world.host.get(hostId)?.reason, null)
  await passTime(host, reconciler, { ms: SILENCE_MAX_MS, alive: false })
  assert.equal(server.world.host.get(hostId)?.state, 'ready')
})

test('a host that comes back within its grace is never seen to be away', async (context) => {
  const host = await connectHost(context)
  const { server, hostId } = host
  const reconciler = server.fleet.newLivenessReconciler()
  const states = new Set<string | undefined>()
  server.world.subscribe(() => states.add(server.world.host.get(hostId)?.state))
  for (let round = 0; round < 3; round++) {
    await passTime(host, reconciler, { ms: SILENCE_MAX_MS - 1_000, alive: false })
    await reconnect({ ...host, sessionId: newSessionId() })
  }
  assert.deepEqual([...states], ['ready'])
})

test('a new leader and one that was asleep give every host its grace', async (context) => {
  const host = await connectHost(context)
  const { server, hostId } = host
  // All servers were down for a minute: the record is old.
  server.clock.move(60_000)
  const reconciler = server.fleet.newLivenessReconciler()
  await passTime(host, reconciler, { ms: SILENCE_MAX_MS, alive: false })
  assert.equal(server.world.host.get(hostId)?.state, 'ready')
  // The database was away for a minute.
  server.clock.move(60_000)
  await passTime(host, reconciler, { ms: SILENCE_MAX_MS, alive: false })
  assert.equal(server.world.host.get(hostId)?.state, 'ready')
  await passTime(host, reconciler, { ms: 3_000, alive: false })
  assert.equal(server.world.host.get(hostId)?.state, 'unreachable')
})

test('after all servers were away hosts have the time that thousands need to come back', async (context) => {
  const host = await connectHost(context)
  const { server, hostId } = host
  for (const number of [2, 3]) await connectAnother(server, number)
  server.clock.move(60_000)
  const reconciler = server.fleet.newLivenessReconciler()
  await passTime(host, reconciler, { ms: RETURN_GRACE_MS, alive: false })
  assert.equal(server.world.host.get(hostId)?.state, 'ready')
  await passTime(host, reconciler, { ms: 3_000, alive: false })
  assert.equal(server.world.host.get(hostId)?.state, 'unreachable')
})

test('a few hosts that do not come back to a new leader are given up without that time', async (context) => {
  const host = await connectHost(context)
  const { server, hostId } = host
  const others = [await connectAnother(server, 2), await connectAnother(server, 3)]
  const reconciler = server.fleet.newLivenessReconciler()
  await passTime(others[0] ?? host, reconciler, { ms: SILENCE_MAX_MS + 2_000, alive: true })
  const states = [host, ...others].map((one) => server.world.host.get(one.hostId)?.state)
  assert.deepEqual(states, ['unreachable', 'ready', 'unreachable'])
  assert.equal(server.world.host.get(hostId)?.reason?.code, 'HOST_UNREACHABLE')
})

test('heartbeats of a host that was removed meanwhile do not spoil those of others', async (context) => {
  const host = await connectHost(context)
  const { server } = host
  const { presence, service } = server.fleet
  const other = await joinHost(server, 'h2')
  presence.heard(other.hostId, newSessionId())
  await service.remove('h2')
  server.clock.move(5_000)
  presence.heard(host.hostId, host.sessionId)
  await presence.stop()
  const rows = await server.database.query.selectFrom('hostLiveness').selectAll().execute()
  assert.deepEqual(
    rows.map((row) => row.hostId),
    [host.hostId],
  )
  assert.ok(server.clock.nowMs() - (rows[0]?.heardAtMs ?? 0) < 1_000)
})

test('a server that cannot record heartbeats grants no lease', async (context) => {
  const host = await connectHost(context)
  const { server, hostId, sessionId } = host
  const { presence } = server.fleet
  assert.equal(presence.mayGrantLease(hostId, sessionId), true)
  server.clock.move(RECORD_STALE_MAX_MS + 1)
  assert.equal(presence.mayGrantLease(hostId, sessionId), false)
  presence.heard(hostId, sessionId)
  await presence.stop()
  assert.equal(presence.mayGrantLease(hostId, sessionId), true)
  assert.equal(presence.mayGrantLease(hostId, newSessionId()), false)
})

test('a session that was replaced or given up gets no lease, and its heartbeats change nothing', async (context) => {
  const [first, second] = await openServers(context, 2)
  assert.ok(first && second)
  const { hostId } = await joinHost(first, 'h1')
  const [old, fresh] = [newSessionId(), newSessionId()]
  await first.fleet.presence.connected(hostId, helloOf(hostId), {
    serverName: 's1',
    sessionId: old,
  })
  await second.fleet.presence.connected(hostId, helloOf(hostId), {
    serverName: 's2',
    sessionId: fresh,
  })
  const record = async () => (await readLiveness(first.database.query)).get(hostId)?.value
  const before = await record()
  first.fleet.presence.heard(hostId, old)
  await first.fleet.presence.stop()
  assert.equal(await record(), before)
  assert.equal(first.fleet.presence.mayGrantLease(hostId, old), false)

  // A server whose clock is an hour behind is heard all the same.
  second.clock.moveBack(3_600_000)
  second.fleet.presence.heard(hostId, fresh)
  await second.fleet.presence.stop()
  assert.notEqual(await record(), before)
  assert.equal(second.fleet.presence.mayGrantLease(hostId, fresh), true)

  const host = { server: second, hostId, sessionId: fresh }
  const reconciler = second.fleet.newLivenessReconciler()
  await passTime(host, reconciler, { ms: SILENCE_MAX_MS + 3_000, alive: false })
  assert.equal(second.world.host.get(hostId)?.state, 'unreachable')
  const silent = await record()
  second.fleet.presence.heard(hostId, fresh)
  await second.fleet.presence.stop()
  assert.equal(await record(), silent)
  assert.equal(second.fleet.presence.mayGrantLease(hostId, fresh), false)
})

test('a host that is heard while it is being given up stays ready', async (context) => {
  const host = await connectHost(context)
  const { server, hostId, sessionId } = host
  const record = (await readLiveness(server.database.query)).get(hostId)
  server.fleet.presence.heard(hostId, sessionId)
  await server.fleet.presence.stop()
  const fence = { ...noFence, silentSince: record?.heardAtMs ?? null }
  const reason = { code: 'HOST_UNREACHABLE', text: 'nothing was heard' }
  const marked = await server.recorder.write((tx, touched) =>
    recordSilence(tx, touched, [{ hostId, record, reason, fence }]),
  )
  assert.deepEqual(marked, [])
  assert.equal(server.world.host.get(hostId)?.state, 'ready')
})

test('whoever writes a host at this moment is not waited for when others are given up', async (context) => {
  const host = await connectHost(context)
  const { server, hostId } = host
  const other = await connectAnother(server, 2)
  const reconciler = server.fleet.newLivenessReconciler()
  await passTime(host, reconciler, { ms: SILENCE_MAX_MS, alive: false })
  const [isLocked, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const writing = server.database.query.transaction().execute(async (tx) => {
    await lockHost(tx, hostId)
    isLocked.resolve()
    await mayEnd.promise
  })
  await isLocked.promise
  await passTime(host, reconciler, { ms: 2_000, alive: false })
  const stateOf = (id: HostId) => server.world.host.get(id)?.state
  assert.deepEqual([stateOf(hostId), stateOf(other.hostId)], ['ready', 'unreachable'])
  mayEnd.resolve()
  await writing
  await passTime(host, reconciler, { ms: 1_000, alive: false })
  assert.equal(stateOf(hostId), 'unreachable')
})
