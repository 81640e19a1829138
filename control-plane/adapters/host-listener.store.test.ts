// Proves over real TLS and a real database how agents join, connect and stream, and that hostile ones get nowhere.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostId } from '@nubo/base'
import {
  HOST_CONTRACT_LATEST,
  HOST_MESSAGE_BYTES_MAX,
  hostCodec,
  hostSessionPath,
  type FoundReport,
  type FoundSet,
} from '@nubo/contracts/host'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { helloOf, inviteHost, placeSet } from '../domains/fleet/testing/region.ts'
import { closeCodes } from '../host-sessions/index.ts'
import { createSecretStore } from '../domains/fleet/index.ts'
import { HOST_CERTIFICATE_VALIDITY_MS, openCertificateAuthority } from './certificates.ts'
import { HostListener } from './host-listener.ts'
import {
  call,
  connectAgent,
  dialSession,
  joinAgent,
  newKeyAndRequest,
  SEALING_KEY,
  startHostContract,
  TestSocket,
  waitUntil,
  type AgentIdentity,
  type ContractServer,
} from './testing/host-contract.ts'

async function startServer(
  context: Parameters<typeof startHostContract>[0],
): Promise<ContractServer> {
  const [server] = await startHostContract(context)
  assert.ok(server)
  return server
}

// proof: the id came from the server itself
const idOf = (agent: AgentIdentity): HostId => agent.hostId as HostId

/** The handshake must fail: the connection closes without ever having been open. */
async function refused(socket: TestSocket): Promise<void> {
  assert.equal((await socket.closing()).code, 1006)
  assert.deepEqual(socket.messages, [])
}

describe('an agent', () => {
  test('joins with its token and is ready when it has said hello; changes come at once', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    const agent = await connectAgent(server, identity)
    assert.equal(server.world.host.get(identity.hostId)?.state, 'ready')
    await placeSet(server, { name: 'web', hostId: idOf(identity) })
    await waitUntil(() => agent.sessionMessages().length === 3)
    const delta = agent.sessionMessages()[2]
    assert.ok(delta?.type === 'wanted')
    assert.deepEqual(delta.upserts.map((item) => item.kind).toSorted(), ['network', 'port', 'set'])
    agent.send({ type: 'heartbeat', sequence: 7 })
    await waitUntil(() => agent.sessionMessages()[3]?.type === 'heartbeat-answer')
  })

  test('renews its certificate and may use the old one meanwhile', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    const { key, certificateRequest } = await newKeyAndRequest()
    const reply = await call(server, {
      method: 'POST',
      path: '/host/v1/renew',
      tls: { key: identity.key, cert: identity.cert },
      body: { certificateRequest },
    })
    const { certificate } = JSON.parse(reply.text)
    const renewed = await connectAgent(server, { ...identity, key, cert: certificate })
    renewed.socket.terminate()
    await connectAgent(server, identity)
  })

  test('gets tokens for the images of its own sets only', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    await placeSet(server, { name: 'web', hostId: idOf(identity) })
    const ask = (repository: string, tls: { key?: string; cert?: string } = identity) =>
      call(server, { method: 'POST', path: '/host/v1/image-token', tls, body: { repository } })
    assert.match((await ask('test/web')).text, /pull test\/web/)
    assert.equal((await ask('test/other')).status, 404)
    assert.equal((await ask('test/web', {})).status, 401)
  })

  test('has its session cut when it is removed, and cannot come back', async (context) => {
    const [first, second] = await startHostContract(context, 2)
    assert.ok(first && second)
    const identity = await joinAgent(first, 'h1')
    const agent = await connectAgent(first, identity)
    await second.fleet.service.remove('h1')
    assert.equal((await agent.closing()).code, closeCodes.revoked)
    await refused(dialSession(first, identity))
  })

  test('that connects to another server has its first session replaced', async (context) => {
    const [first, second] = await startHostContract(context, 2)
    assert.ok(first && second)
    const identity = await joinAgent(first, 'h1')
    const before = await connectAgent(first, identity)
    await connectAgent(second, identity)
    assert.equal((await before.closing()).code, closeCodes.replaced)
    assert.equal(second.world.host.get(identity.hostId)?.serverName, 's2')
  })
})

describe('contract versions', () => {
  test('an agent of version 1 is served on its own path, beside one of the newest', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    const old = await dialSession(server, identity, hostSessionPath(1)).opened()
    const hello = hostCodec(1).encodeAgentMessage(helloOf(identity.hostId)) ?? ''
    old.send(hello)
    await waitUntil(() => old.messages.length === 2)
    const [welcome] = old.messages.map(({ text }) => JSON.parse(text ?? ''))
    assert.deepEqual([welcome.type, welcome.contract, welcome.probeKey], ['welcome', 1, undefined])
    const newer = await connectAgent(server, await joinAgent(server, 'h2'))
    const [welcomed] = newer.sessionMessages()
    assert.ok(welcomed?.type === 'welcome')
    assert.deepEqual([welcomed.contract, welcomed.probeKey], [HOST_CONTRACT_LATEST, '7'.repeat(64)])
  })

  test('any server asks a host for its neighbours, whichever server has its session', async (context) => {
    const [first, second] = await startHostContract(context, 2)
    assert.ok(first && second)
    const identity = await joinAgent(first, 'h1')
    const agent = await connectAgent(first, identity)
    const results = [{ hostId: identity.hostId, answer: null }]
    agent.socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString())
      if (message.type !== 'probe') return
      agent.send({ type: 'probe-report', id: message.id, results })
    })
    const targets = [{ hostId: identity.hostId, address: '10.1.0.2:7444' }]
    for (const { sessions } of [first, second])
      assert.deepEqual(await sessions.probe(idOf(identity), targets, 1_000), results)
  })
})

describe('joining is refused', () => {
  test('without the secret, with a broken body, and never costs the token', async (context) => {
    const server = await startServer(context)
    const { secret } = await inviteHost(server, 'h1')
    const { certificateRequest } = await newKeyAndRequest()
    const good = { secret, hostName: 'h1', certificateRequest }
    const join = (body: unknown) => call(server, { method: 'POST', path: '/host/v1/join', body })
    const cases: [unknown, number, string][] = [
      [{ ...good, secret: 'nubo-guess' }, 403, 'JOIN_REFUSED'],
      [{ ...good, certificateRequest: 'garbage' }, 400, 'INVALID_INPUT'],
      [{ ...good, extra: 1 }, 400, 'INVALID_INPUT'],
      [{ hostName: 'h1' }, 400, 'INVALID_INPUT'],
      ['{"secret":', 400, 'INVALID_INPUT'],
      ['[', 400, 'INVALID_INPUT'],
      ['x'.repeat(100_000), 413, 'TOO_LARGE'],
    ]
    for (const [body, status, code] of cases) {
      const reply = await join(body)
      assert.equal(reply.status, status, reply.text)
      assert.equal(JSON.parse(reply.text).code, code)
    }
    assert.equal((await join(good)).status, 200)
    assert.equal((await join(good)).status, 403)
    assert.equal((await call(server, { path: '/host/v1/join' })).status, 404)
    assert.equal((await call(server, { path: '/host/v1/../../etc/passwd' })).status, 404)
  })
})

describe('a session is refused', () => {
  test('without a certificate, or with one that is not a host of ours', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    const { key, certificateRequest } = await newKeyAndRequest()
    const serial = '4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    const foreignAuthority = await openCertificateAuthority({
      secrets: { get: async () => undefined, putIfAbsent: (_name, make) => make() },
      region: 'test',
      clock: systemClock,
      random: systemRandom,
    })
    const asked = { hostId: idOf(identity), certificateRequest, serial }
    const foreign = await foreignAuthority.issueHost(asked)
    const otherLine = await server.certificates.issueHost(asked)
    const asServer = await server.certificates.issueServer({
      commonName: identity.hostId,
      addresses: ['127.0.0.1'],
      validityMs: 60_000,
    })
    await refused(dialSession(server, {}))
    await refused(dialSession(server, { key, cert: foreign.certificatePem }))
    await refused(dialSession(server, { key, cert: otherLine.certificatePem }))
    await refused(dialSession(server, { key: asServer.keyPem, cert: asServer.certificatePem }))
    // A certificate without its key does not even connect.
    await refused(dialSession(server, { key, cert: identity.cert }))
    await refused(dialSession(server, identity, '/host/v1/other'))
    await refused(dialSession(server, identity, '/host/v4/session'))
    await refused(dialSession(server, identity, `/host/v1/streams/${'x'.repeat(43)}`))
    await connectAgent(server, identity)
  })

  test('with a certificate that has run out', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    await refused(dialSession(server, await certifyFor(server, identity, -86_400_000)))
  })

  test('when its certificate runs out, also by a TLS session that began before', async (context) => {
    const server = await startServer(context)
    const joined = await joinAgent(server, 'h1')
    const identity = { ...joined, ...(await certifyFor(server, joined, 5_000)) }
    const agent = await connectAgent(server, identity)
    const { cert, key, ca } = identity
    const dialled = { host: '127.0.0.1', port: server.hostPort, cert, key, ca }
    const first = connectTls(dialled)
    first.on('error', () => undefined)
    const [session] = await once(first, 'session', { signal: AbortSignal.timeout(5_000) })
    first.destroy()
    while (agent.closed === undefined) {
      agent.send({ type: 'heartbeat', sequence: 0 })
      await sleep(200, undefined, { signal: context.signal })
    }
    assert.equal(agent.closed.code, closeCodes.refused)
    const resumed = connectTls({ ...dialled, session })
    resumed.write('POST /host/v1/renew HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n')
    const [answer] = await once(resumed, 'data', { signal: AbortSignal.timeout(5_000) })
    assert.equal(resumed.isSessionReused(), true)
    assert.match(String(answer), /^HTTP\/1\.1 401 /)
    resumed.destroy()
  })
})

/** A key and a certificate of the present line of a host, which ends after `leftMs`. */
async function certifyFor(
  server: ContractServer,
  identity: AgentIdentity,
  leftMs: number,
): Promise<{ key: string; cert: string }> {
  const line = server.world.host.get(identity.hostId)?.certificateSerial
  const shiftMs = HOST_CERTIFICATE_VALIDITY_MS - leftMs
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() - shiftMs }
  const { database } = server
  const authority = await openCertificateAuthority({
    secrets: createSecretStore({ database, key: SEALING_KEY, clock, random: systemRandom }),
    region: 'test',
    clock,
    random: systemRandom,
  })
  const { key, certificateRequest } = await newKeyAndRequest()
  const issued = await authority.issueHost({
    hostId: idOf(identity),
    certificateRequest,
    serial: `${line}0000000000000000`,
  })
  return { key, cert: issued.certificatePem }
}

describe('a hostile agent with a good certificate', () => {
  const offences: [string, number, (agent: TestSocket, identity: AgentIdentity) => void][] = [
    [
      'that names another host',
      closeCodes.violation,
      (agent) => agent.send(helloOf('01900000-0000-7000-8000-000000000001')),
    ],
    [
      'that speaks before its hello',
      closeCodes.violation,
      (agent) => agent.send({ type: 'heartbeat', sequence: 0 }),
    ],
    ['that sends an unknown kind', closeCodes.violation, (agent) => agent.send('{"type":"sudo"}')],
    ['that sends no JSON', closeCodes.violation, (agent) => agent.send('\u0000\u0001')],
    ['that nests deeply', closeCodes.violation, (agent) => agent.send('['.repeat(1_000_000))],
    ['that sends binary', closeCodes.violation, (agent) => agent.send(Buffer.alloc(10))],
    // 1009 is the close code for a message that is too big (RFC 6455, section 7.4.1).
    [
      'that sends a huge frame',
      1009,
      (agent) => agent.send('x'.repeat(HOST_MESSAGE_BYTES_MAX + 1)),
    ],
    [
      'that sends broken text',
      1007,
      (agent) => agent.socket.send(Buffer.from([0xff, 0xfe]), { binary: false }),
    ],
    [
      'that says hello twice',
      closeCodes.violation,
      (agent, identity) => {
        agent.send(helloOf(identity.hostId))
        agent.send(helloOf(identity.hostId))
      },
    ],
  ]
  test('is closed for each offence, and the server serves on', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    for (const [what, code, offend] of offences) {
      const agent = await dialSession(server, identity).opened()
      offend(agent, identity)
      assert.equal((await agent.closing()).code, code, what)
      assert.deepEqual(server.found, [], what)
    }
    await connectAgent(server, identity)
  })

  test('cannot report sets of others, nor go on about old epochs', async (context) => {
    const server = await startServer(context)
    const good = await joinAgent(server, 'h1')
    const bad = await joinAgent(server, 'h2')
    const { setId } = await placeSet(server, { name: 'web', hostId: idOf(good) })
    const report = (epoch: number): FoundReport => {
      const set: FoundSet = {
        kind: 'set',
        id: setId,
        epoch,
        generation: 1,
        state: 'running',
        progress: '',
        reason: null,
        containers: [],
      }
      return { type: 'found', full: false, last: true, wantedRevision: null, instances: [set] }
    }
    const thief = await connectAgent(server, bad)
    thief.send(report(1))
    assert.equal((await thief.closing()).code, closeCodes.violation)
    await server.recorder.write(async (tx, touched) => {
      await tx.updateTable('set').set({ epoch: 2 }).where('id', '=', setId).execute()
      touched.touch('set', setId)
    })
    const stale = await connectAgent(server, good)
    for (let round = 0; stale.closed === undefined && round < 200; round++) {
      stale.send(report(1))
      await sleep(5)
    }
    assert.equal((await stale.closing()).code, closeCodes.violation)
    assert.deepEqual(server.found, [])
    const honest = await connectAgent(server, good)
    honest.send(report(2))
    await waitUntil(() => server.found.length === 1)
  })
})

describe('the listener', () => {
  async function dialTcp(server: ContractServer): Promise<Socket> {
    const socket = connectTcp(server.hostPort, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    return socket
  }

  function dialTls(server: ContractServer): Socket {
    const ca = server.certificates.caPem
    const socket = connectTls({ host: '127.0.0.1', port: server.hostPort, ca })
    socket.on('error', () => undefined)
    return socket
  }

  test('closes what says nothing, says it slowly, or speaks another protocol', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    const live = await connectAgent(server, identity)
    const beat = setInterval(() => live.send({ type: 'heartbeat', sequence: 1 }), 1_000)
    context.after(() => clearInterval(beat))
    const silent = await dialTcp(server)
    const garbage = await dialTcp(server)
    garbage.write(Buffer.alloc(2_000, 0xaa))
    const plain = await dialTcp(server)
    plain.write('GET /host/v1/ca HTTP/1.1\r\n\r\n')
    const noHello = await dialSession(server, identity).opened()
    const noRequest = dialTls(server)
    const slowRequest = dialTls(server)
    slowRequest.write('POST /host/v1/join HTTP/1.1\r\nhost: x\r\n')
    const sockets = [silent, garbage, plain, noRequest, slowRequest]
    for (const socket of sockets) socket.resume()
    await waitUntil(() => sockets.every((socket) => socket.destroyed || socket.readableEnded))
    assert.equal((await noHello.closing()).code, closeCodes.violation)
    assert.equal(live.closed, undefined)
  })

  test('answers once and ends the connection, so that nobody keeps a place by asking', async (context) => {
    const server = await startServer(context)
    const socket = dialTls(server)
    let text = ''
    socket.on('data', (bytes: Buffer) => (text += bytes.toString()))
    const request = 'GET /host/v1/ca HTTP/1.1\r\nHost: s1\r\n\r\n'
    socket.write(request)
    await waitUntil(() => socket.readableEnded || socket.destroyed)
    assert.match(text, /^HTTP\/1\.1 200 [^]*\r\nconnection: close\r\n/i)
  })

  test('lets more idle connections than it has room for wait, and goes on serving', async (context) => {
    const server = await startServer(context)
    const identity = await joinAgent(server, 'h1')
    const live = await connectAgent(server, identity)
    const idle = await Promise.all(Array.from({ length: 600 }, () => dialTcp(server)))
    live.send({ type: 'heartbeat', sequence: 3 })
    await waitUntil(() => live.sessionMessages().at(-1)?.type === 'heartbeat-answer')
    for (const socket of idle) socket.destroy()
    await waitUntil(() => idle.every((socket) => socket.closed))
    await connectAgent(server, await joinAgent(server, 'h2'))
  })

  test('says that its port is taken', async (context) => {
    const server = await startServer(context)
    const second = new HostListener({
      bind: { host: '127.0.0.1', port: server.hostPort },
      serverName: 's9',
      certificates: server.certificates,
      sessions: server.sessions,
      calls: { ...server.fleet.membership, imageToken: () => Promise.reject(new Error('no')) },
      admits: server.fleet.membership.admits,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
    })
    await assert.rejects(second.start(), { code: 'PORT_TAKEN' })
    await second.stop()
  })
})
