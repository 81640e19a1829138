// Proves on a real database what operators and machines may do with hosts, and what is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPlatformError, type ErrorCode } from '@nubo/base'
import { parseJoinToken } from '@nubo/contracts/host'
import { hostView } from './host.ts'
import { INVITATION_VALIDITY_MS } from './service.ts'
import {
  helloOf,
  inviteHost,
  joinHost,
  newSessionId,
  openServers,
  placeOfHost,
  placeSet,
  type TestServer,
} from './testing/region.ts'

async function openServer(context: Parameters<typeof openServers>[0]): Promise<TestServer> {
  const [server] = await openServers(context)
  assert.ok(server)
  return server
}

async function refused(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(work, (error) => isPlatformError(error, code))
}

test('an invitation names the host, the CA and the servers, and keeps only a hash of its secret', async (context) => {
  const server = await openServer(context)
  const invited = await inviteHost(server, 'h1')
  const token = parseJoinToken(invited.token)
  assert.equal(token?.hostName, 'h1')
  assert.equal(token?.caSha256, '0'.repeat(64))
  assert.deepEqual(token?.servers, ['10.0.0.1:7443'])
  const row = server.world.host.get(invited.hostId)
  assert.ok(row)
  assert.doesNotMatch(JSON.stringify(row), new RegExp(invited.secret))
  const view = hostView(server.world, row)
  assert.equal(view.state, 'invited')
  assert.match(view.reason?.text ?? '', /No agent has joined yet/)
  assert.doesNotMatch(JSON.stringify(view), /invite_?sha|certificate/i)
})

test('a host joins once with its token, and many that race for it are one', async (context) => {
  const [first, second] = await openServers(context, 2)
  assert.ok(first && second)
  const { secret, hostId } = await inviteHost(first, 'h1')
  const join = (server: TestServer) =>
    server.fleet.membership.join({ hostName: 'h1', secret, certificateRequest: 'good' })
  const results = await Promise.allSettled(
    [first, second, first, second, first, second].map((server) => join(server)),
  )
  const joined = results.filter((result) => result.status === 'fulfilled')
  assert.equal(joined.length, 1)
  assert.equal(joined[0]?.value.hostId, hostId)
  for (const result of results)
    if (result.status === 'rejected') assert.ok(isPlatformError(result.reason, 'JOIN_REFUSED'))
  await first.world.reached(second.world.revision)
  assert.equal(first.world.host.get(hostId)?.state, 'joining')
})

test('a token that is wrong, expired, replaced or of another host is refused', async (context) => {
  const server = await openServer(context)
  const { membership } = server.fleet
  const { secret } = await inviteHost(server, 'h1')
  await inviteHost(server, 'h2')
  const good = { hostName: 'h1', secret, certificateRequest: 'good' }
  await refused(membership.join({ ...good, secret: 'nubo-guess' }), 'JOIN_REFUSED')
  await refused(membership.join({ ...good, hostName: 'h2' }), 'JOIN_REFUSED')
  await refused(membership.join({ ...good, hostName: 'h3' }), 'JOIN_REFUSED')
  const newer = await inviteHost(server, 'h1')
  await refused(membership.join(good), 'JOIN_REFUSED')
  server.clock.move(INVITATION_VALIDITY_MS + 1)
  await refused(membership.join({ ...good, secret: newer.secret }), 'JOIN_REFUSED')
  assert.equal(server.world.host.by('name', 'h1')[0]?.state, 'invited')
})

test('a broken certificate request leaves the token usable', async (context) => {
  const server = await openServer(context)
  const { secret } = await inviteHost(server, 'h1')
  const { membership } = server.fleet
  const asked = { hostName: 'h1', secret }
  await refused(membership.join({ ...asked, certificateRequest: 'broken' }), 'INVALID_INPUT')
  await membership.join({ ...asked, certificateRequest: 'good' })
})

test('an invitation is never refused: it moves a host that has not joined, and only that', async (context) => {
  const server = await openServer(context)
  const { service, membership } = server.fleet
  const inRack = (rack: string) =>
    service.invite({ name: 'h1', roles: ['compute', 'gateway'], ...placeOfHost, rack })
  await inviteHost(server, 'h1')
  const moved = await inRack('rack-2')
  assert.equal(moved.row.rack, 'rack-2')
  assert.deepEqual(moved.row.roles, ['compute', 'gateway'])
  const secret = parseJoinToken(moved.token)?.secret ?? ''
  await membership.join({ hostName: 'h1', secret, certificateRequest: 'good' })
  const again = await inRack('rack-3')
  assert.equal(again.row.id, moved.row.id)
  assert.equal(again.row.rack, 'rack-2')
  assert.equal(again.row.state, 'joining')
  const both = await Promise.all([
    inRack('rack-1'),
    inviteHost(server, 'h9'),
    inviteHost(server, 'h9'),
  ])
  assert.equal(both[1].hostId, both[2].hostId)
})

test('certificates of one join are admitted, renewed ones too; a new join ends them', async (context) => {
  const [first, second] = await openServers(context, 2)
  assert.ok(first && second)
  const host = await joinHost(first, 'h1')
  // Through the other server at once: it waits for the news.
  assert.equal(await second.fleet.membership.admits(host), true)
  const renewed = await first.fleet.membership.renew({
    hostId: host.hostId,
    serial: host.serial,
    certificateRequest: 'good',
  })
  const serial = renewed.certificate.split(' ')[1] ?? ''
  assert.notEqual(serial, host.serial)
  assert.equal(await second.fleet.membership.admits({ hostId: host.hostId, serial }), true)
  assert.equal(await second.fleet.membership.admits(host), true)
  const other = await joinHost(first, 'h2')
  assert.equal(
    await second.fleet.membership.admits({ hostId: host.hostId, serial: other.serial }),
    false,
  )
  const rejoined = await joinHost(first, 'h1')
  assert.equal(rejoined.hostId, host.hostId)
  assert.equal(await second.fleet.membership.admits(rejoined), true)
  assert.equal(await second.fleet.membership.admits(host), false)
  assert.equal(await second.fleet.membership.admits({ hostId: host.hostId, serial }), false)
  // A renewal that began before the new join and asks only now gets nothing of the new line.
  await refused(
    first.fleet.membership.renew({ hostId: host.hostId, serial, certificateRequest: 'good' }),
    'UNAUTHENTICATED',
  )
})

test('a removed host is forgotten, and its certificates with it', async (context) => {
  const server = await openServer(context)
  const { service, membership } = server.fleet
  const host = await joinHost(server, 'h1')
  await service.remove('h1')
  assert.equal(server.world.host.get(host.hostId), undefined)
  assert.equal(await membership.admits(host), false)
  await refused(membership.renew({ ...host, certificateRequest: 'good' }), 'NOT_FOUND')
  await refused(service.remove('h1'), 'NOT_FOUND')
})

test('a host with sets is not removed, even if this server has not heard of them yet', async (context) => {
  const [first, second] = await openServers(context, 2)
  assert.ok(first && second)
  const { hostId } = await joinHost(first, 'h1')
  const { setId } = await placeSet(first, { name: 'web', hostId })
  await assert.rejects(first.fleet.service.remove('h1'), (error) => {
    assert.ok(isPlatformError(error, 'IN_USE'))
    assert.deepEqual(error.details['sets'], ['web'])
    return true
  })
  const view = hostView(first.world, first.fleet.service.find('h1'))
  assert.deepEqual(view.allocated, { cpuMillis: 500, memoryBytes: 128 * 2 ** 20, diskBytes: 0 })
  assert.equal(view.sets, 1)
  // A server that is behind is stopped by the tables.
  await second.world.reached(first.world.revision)
  second.world.apply(second.world.revision, [{ kind: 'set', id: setId, body: undefined }])
  await refused(second.fleet.service.remove(hostId), 'IN_USE')
  assert.ok(first.world.host.get(hostId))
})

test('cordoning is visible and may be repeated without a trace', async (context) => {
  const server = await openServer(context)
  const { service } = server.fleet
  await joinHost(server, 'h1')
  assert.equal((await service.cordon('h1', true)).cordoned, true)
  const { revision } = server.world
  assert.equal((await service.cordon('h1', true)).cordoned, true)
  assert.equal(server.world.revision, revision)
  assert.equal((await service.cordon('h1', false)).cordoned, false)
  await refused(service.cordon('nobody', true), 'NOT_FOUND')
})

test('a hello makes the host ready with what it said; a second one shows only its new session', async (context) => {
  const server = await openServer(context)
  const { presence } = server.fleet
  const { hostId } = await joinHost(server, 'h1')
  const sessionId = newSessionId()
  await presence.connected(hostId, helloOf(hostId), { serverName: 's1', sessionId })
  const row = server.fleet.service.find('h1')
  assert.equal(row.state, 'ready')
  assert.equal(row.sessionId, sessionId)
  assert.equal(row.vtepAddress, '10.1.0.1')
  assert.equal(row.inventory?.cores, 4)
  server.clock.move(1_000)
  const again = { serverName: 's2', sessionId: newSessionId() }
  await presence.connected(hostId, helloOf(hostId), again)
  const { sessionId: _session, serverName: _name, ...after } = server.fleet.service.find('h1')
  const { sessionId: _oldSession, serverName: _oldName, ...before } = row
  assert.deepEqual(after, before)
})

test('two connected hosts cannot have one tunnel address, and a removed host cannot connect', async (context) => {
  const server = await openServer(context)
  const { presence, service } = server.fleet
  const by = () => ({ serverName: 's1', sessionId: newSessionId() })
  const one = await joinHost(server, 'h1')
  const two = await joinHost(server, 'h2')
  await presence.connected(one.hostId, helloOf(one.hostId), by())
  await refused(presence.connected(two.hostId, helloOf(two.hostId), by()), 'NOT_ALLOWED_NOW')
  await presence.connected(two.hostId, helloOf(two.hostId, { vtepAddress: '10.1.0.2' }), by())
  await service.remove('h1')
  await refused(presence.connected(one.hostId, helloOf(one.hostId), by()), 'NOT_FOUND')
})

test('hosts that arrive together share a revision; of two with one tunnel address the first is in', async (context) => {
  const server = await openServer(context)
  const { presence } = server.fleet
  const joined: Awaited<ReturnType<typeof joinHost>>[] = []
  for (const name of ['h1', 'h2', 'h3', 'h4']) joined.push(await joinHost(server, name))
  const arrive = (number: number, vtepAddress: string) => {
    const hostId = joined[number]?.hostId
    assert.ok(hostId !== undefined)
    const by = { serverName: 's1', sessionId: newSessionId() }
    return presence.connected(hostId, helloOf(hostId, { vtepAddress }), by)
  }
  const before = server.world.revision
  await Promise.all([0, 1, 2, 3].map((number) => arrive(number, `10.1.1.${number}`)))
  assert.equal(server.world.revision, before + 2, 'the first alone, the others together')
  const outcomes = await Promise.allSettled([
    arrive(0, '10.1.2.1'),
    arrive(1, '10.1.2.2'),
    arrive(2, '10.1.2.2'),
    arrive(3, '10.1.2.3'),
  ])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  assert.equal(server.world.host.by('name', 'h4')[0]?.vtepAddress, '10.1.2.3')
  assert.equal(server.world.host.by('name', 'h3')[0]?.vtepAddress, '10.1.1.2')
})
