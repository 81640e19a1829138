import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { seededRandom, VirtualClock } from '@nubo/base'
import { silentLog, systemClock } from '@nubo/runtime/process'
import { TestCa, TestServer } from '../testing/region.ts'
import { testId } from '../testing/wanted.ts'
import { readIdentity, type Identity } from './identity.ts'
import { serverImageTokens } from './image-tokens.ts'
import { joinRegion, renewIdentity } from './join.ts'
import { keepRenewed, renewAtMs } from './renewal.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nt-join-'))
const ca = await TestCa.make()
const servers: TestServer[] = []
after(async () => {
  for (const server of servers) await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

let stateDir = ''
let server: TestServer
beforeEach(async () => {
  stateDir = mkdtempSync(path.join(folder, 's-'))
  server = await startServer()
})

const hostName = [{ type: 'url' as const, value: `nubo:host:${testId('host', 1)}` }]

async function startServer(): Promise<TestServer> {
  const started = await TestServer.start(ca)
  servers.push(started)
  started.answers.set('/host/v1/join', (body) => issue(started, body))
  started.answers.set('/host/v1/renew', (body) => issue(started, body))
  return started
}

async function issue(from: TestServer, body: unknown) {
  assert.ok(typeof body === 'object' && body !== null && 'certificateRequest' in body)
  return {
    status: 200,
    body: {
      hostId: testId('host', 1),
      certificate: await from.ca.certify(String(body.certificateRequest), hostName),
      ca: from.ca.pem,
      expiresAtMs: Date.now() + 7 * 86_400_000,
    },
  }
}

function join(token: string): Promise<Identity> {
  return joinRegion({ token, stateDir, clock: systemClock })
}

test('a host joins: its key stays, its certificate is for this key and from the CA of the token', async () => {
  const identity = await join(server.token())
  assert.deepEqual(readIdentity(stateDir), identity)
  assert.equal(identity.hostId, testId('host', 1))
  const certificate = new X509Certificate(identity.certificate)
  assert.ok(certificate.verify(new X509Certificate(identity.ca).publicKey))
  const [call] = server.calls
  assert.ok(!JSON.stringify(call?.body).includes('PRIVATE'))
  assert.deepEqual(Object.keys(call?.body ?? {}).toSorted(), [
    'certificateRequest',
    'hostName',
    'secret',
  ])
  assert.equal(statSync(path.join(stateDir, 'identity.json')).mode & 0o777, 0o600)
})

test('the same token again changes nothing; another one joins anew', async () => {
  const first = await join(server.token())
  assert.deepEqual(await join(server.token()), first)
  assert.equal(server.calls.length, 1)
  const second = await join(server.token({ secret: 'another' }))
  assert.notEqual(second.key, first.key)
  assert.equal(server.calls.length, 2)
})

test('a join whose answer was lost is repeated with the same key', async () => {
  const answer = server.answers.get('/host/v1/join')
  server.answers.set('/host/v1/join', () => ({
    status: 503,
    body: { code: 'DATABASE_UNAVAILABLE', message: 'away', details: {}, requestId: 'r' },
  }))
  await assert.rejects(join(server.token()), { code: 'DATABASE_UNAVAILABLE' })
  if (answer !== undefined) server.answers.set('/host/v1/join', answer)
  const identity = await join(server.token())
  const keyOf = (at: number): string => {
    const body = server.calls[at]?.body
    assert.ok(typeof body === 'object' && body !== null && 'certificateRequest' in body)
    // The signature differs each time, and with it the length in the first bytes; the key must not.
    return Buffer.from(
      String(body.certificateRequest).replaceAll(/-----[^-]+-----|\n/g, ''),
      'base64',
    )
      .subarray(4, 110)
      .toString('hex')
  }
  assert.equal(keyOf(0), keyOf(1))
  assert.ok(new X509Certificate(identity.certificate))
})

test('a server with another CA than the token names is refused, and is told no secret', async () => {
  const token = server.token()
  server.shownCa = (await TestCa.make()).pem
  await assert.rejects(join(token), { code: 'JOIN_REFUSED' })
  assert.equal(server.calls.length, 0)
  assert.equal(readIdentity(stateDir), undefined)
})

test('a server that shows the right CA without its key is refused, and is told no secret', async () => {
  const impostor = await TestServer.start(await TestCa.make())
  servers.push(impostor)
  impostor.shownCa = ca.pem
  await assert.rejects(join(server.token({ servers: [impostor.address] })), {
    code: 'HOST_UNREACHABLE',
  })
  assert.equal(impostor.calls.length, 0)
})

test('servers of the token that are away are passed over', async () => {
  const away = await startServer()
  await away.stop()
  await join(server.token({ servers: [away.address, server.address] }))
  await assert.rejects(join(server.token({ secret: 'x', servers: [away.address] })), {
    code: 'HOST_UNREACHABLE',
  })
})

test('what is no token, what the server refuses, and what it must not answer', async () => {
  await assert.rejects(join('nubo-join-rubbish'), { code: 'JOIN_REFUSED' })
  server.answers.set('/host/v1/join', () => ({
    status: 403,
    body: { code: 'JOIN_REFUSED', message: 'used', details: {}, requestId: 'r' },
  }))
  await assert.rejects(join(server.token()), { code: 'JOIN_REFUSED', message: 'used' })
  const other = await TestCa.make()
  const wrong = {
    'no certificate': { certificate: 'x' },
    'a certificate for another key': { certificate: (await ca.issueServer()).certificate },
    'no host id': { hostId: 'h1' },
  }
  for (const change of Object.values(wrong)) {
    server.answers.set('/host/v1/join', async (body) => {
      const good = await issue(server, body)
      return { status: 200, body: { ...good.body, ...change } }
    })
    await assert.rejects(join(server.token()), { code: 'PROTOCOL_VIOLATION' })
  }
  server.answers.set('/host/v1/join', async (body) => {
    const good = await issue(server, body)
    assert.ok(typeof body === 'object' && body !== null && 'certificateRequest' in body)
    const certificate = await other.certify(String(body.certificateRequest), hostName)
    return { status: 200, body: { ...good.body, certificate } }
  })
  await assert.rejects(join(server.token()), { code: 'PROTOCOL_VIOLATION' })
  server.answers.set('/host/v1/join', () => ({ status: 200, body: 'x'.repeat(2 ** 20) }))
  await assert.rejects(join(server.token()), { code: 'PROTOCOL_VIOLATION' })
  assert.equal(readIdentity(stateDir), undefined)
})

test('an identity that cannot be read is said, with what to do', () => {
  writeFileSync(path.join(stateDir, 'identity.json'), '{}')
  assert.throws(() => readIdentity(stateDir), { code: 'SETUP_FAILED' })
})

test('renewal gets a new key over the old certificate', async () => {
  const identity = await join(server.token())
  const renewed = await renewIdentity({
    identity,
    servers: [server.address],
    stateDir,
    clock: systemClock,
    signal: new AbortController().signal,
  })
  assert.notEqual(renewed.key, identity.key)
  assert.equal(server.calls.at(-1)?.isCertified, true)
  assert.deepEqual(readIdentity(stateDir), renewed)
  assert.ok(!readFileSync(path.join(stateDir, 'identity.json'), 'utf8').includes(identity.key))
})

test('renewal comes at half of the time, is tried again when it fails, and ends with the agent', async () => {
  const clock = new VirtualClock()
  const nowMs = clock.nowMs()
  let identity = { issuedAtMs: nowMs, expiresAtMs: nowMs + 4_000_000 } as Identity // proof: only these are read
  assert.equal(renewAtMs(identity), nowMs + 2_000_000)
  const tries: number[] = []
  const abort = new AbortController()
  const running = keepRenewed({
    clock,
    random: seededRandom(1),
    log: silentLog,
    identity: () => identity,
    signal: abort.signal,
    renew: async () => {
      tries.push(clock.monotonicMs())
      if (tries.length < 3) throw new Error('away')
      identity = { ...identity, issuedAtMs: clock.nowMs(), expiresAtMs: clock.nowMs() + 4_000_000 }
    },
  })
  await clock.advance(1_999_999)
  assert.equal(tries.length, 0)
  await clock.advance(500_000)
  assert.equal(tries.length, 3)
  await clock.advance(2_000_000)
  assert.equal(tries.length, 4)
  abort.abort()
  await running
})

test('image tokens are asked once per repository and while they last', async () => {
  const identity = await join(server.token())
  const clock = new VirtualClock()
  let count = 0
  server.answers.set('/host/v1/image-token', () => ({
    status: 200,
    body: { registry: 'r:5000', token: `t${++count}`, expiresAtMs: clock.nowMs() + 300_000 },
  }))
  const tokens = serverImageTokens({
    clock,
    identity: () => identity,
    servers: () => [server.address],
  })
  const { signal } = new AbortController()
  assert.equal((await tokens.token('web', signal)).token, 't1')
  assert.equal((await tokens.token('web', signal)).token, 't1')
  assert.equal((await tokens.token('db', signal)).token, 't2')
  await clock.advance(280_000)
  assert.equal((await tokens.token('web', signal)).token, 't3')
  assert.deepEqual(server.calls.at(-1), {
    path: '/host/v1/image-token',
    body: { repository: 'web' },
    isCertified: true,
  })
})
