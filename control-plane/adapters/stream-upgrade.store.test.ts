// Proves over real WebSockets that a client of one server reaches a host connected to another, with bounded buffers.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostId, SetId } from '@nubo/base'
import { STREAM_FRAME_BYTES_MAX } from '@nubo/contracts'
import type { StreamRequest } from '@nubo/contracts/host'
import { placeSet } from '../domains/fleet/testing/region.ts'
import {
  connectAgent,
  dialSession,
  joinAgent,
  startHostContract,
  TestSocket,
  waitUntil,
  type AgentIdentity,
  type ContractServer,
} from './testing/host-contract.ts'

function execRequest(setId: SetId): StreamRequest {
  return {
    type: 'exec',
    setId,
    epoch: 1,
    container: 'main',
    command: ['cat'],
    tty: false,
    stdin: true,
    columns: 80,
    rows: 24,
  }
}

/** A host connected to the first server, with a set; the client asks the last. */
async function start(context: TestContext, serverCount: number) {
  const servers = await startHostContract(context, serverCount)
  const [first, last] = [servers[0], servers.at(-1)]
  assert.ok(first && last)
  const identity = await joinAgent(first, 'h1')
  const agent = await connectAgent(first, identity)
  // proof: the id came from the server itself
  const hostId = identity.hostId as HostId
  const { setId } = await placeSet(first, { name: 'web', hostId })
  await last.world.reached(first.world.revision)
  const request = execRequest(setId)
  const ticket = last.sessions.streams.open({
    tokenId: 't',
    hostId,
    request,
    isStillAllowed: () => true,
  })
  return { first, last, identity, agent, request, ticket }
}

const dialClient = (server: ContractServer, path: string): TestSocket =>
  new TestSocket(`ws://127.0.0.1:${server.apiPort}${path}`)

/** Does what an agent does when it is told to open a stream; the port says which server it was told to dial. */
async function openAsTold(
  agent: TestSocket,
  about: { identity: AgentIdentity; server: ContractServer },
): Promise<TestSocket> {
  await waitUntil(() => agent.sessionMessages().at(-1)?.type === 'open-stream')
  const told = agent.sessionMessages().at(-1)
  assert.ok(told?.type === 'open-stream')
  assert.equal(told.server, `127.0.0.1:${about.server.hostPort}`)
  return dialSession(about.server, about.identity, `/host/v1/streams/${told.token}`).opened()
}

for (const serverCount of [1, 2]) {
  test(`a stream passes through ${serverCount} servers, both ways, to its end`, async (context) => {
    const { last, identity, agent, request, ticket } = await start(context, serverCount)
    const client = await dialClient(last, ticket.path).opened()
    client.send(Buffer.from([0, 1, 2]))
    const host = await openAsTold(agent, { identity, server: last })
    await waitUntil(() => host.messages.length === 2)
    assert.deepEqual(JSON.parse(host.messages[0]?.text ?? ''), request)
    assert.deepEqual(host.messages[1]?.bytes, Buffer.from([0, 1, 2]))
    host.send(Buffer.from([1, 3]))
    host.send('{"type":"end","exitCode":0,"error":null}')
    assert.equal((await client.closing()).code, 1000)
    assert.deepEqual(client.messages, [
      { bytes: Buffer.from([1, 3]) },
      { text: '{"type":"end","exitCode":0,"error":null}' },
    ])
    assert.equal((await host.closing()).code, 1000)
    assert.equal(last.sessions.streams.size, 0)
  })
}

test('tokens work once, at the right door, for the right host', async (context) => {
  const { first, identity, agent, ticket } = await start(context, 1)
  const other = await joinAgent(first, 'h2')
  const isRefused = async (socket: TestSocket) => assert.equal((await socket.closing()).code, 1006)
  await isRefused(dialClient(first, `/v1/streams/${'x'.repeat(43)}`))
  await isRefused(dialClient(first, '/v1/streams/'))
  await isRefused(dialClient(first, '/v1/other'))
  const hostPath = ticket.path.replace('/v1/', '/host/v1/')
  await isRefused(dialSession(first, identity, hostPath))
  await dialClient(first, ticket.path).opened()
  await isRefused(dialClient(first, ticket.path))
  await waitUntil(() => agent.sessionMessages().at(-1)?.type === 'open-stream')
  const told = agent.sessionMessages().at(-1)
  const token = told?.type === 'open-stream' ? told.token : ''
  await isRefused(dialClient(first, `/v1/streams/${token}`))
  await isRefused(dialSession(first, other, `/host/v1/streams/${token}`))
  await dialSession(first, identity, `/host/v1/streams/${token}`).opened()
  await isRefused(dialSession(first, identity, `/host/v1/streams/${token}`))
})

test('a host that floods is held back while the client does not read, and nothing is lost', async (context) => {
  const { first, identity, agent, ticket } = await start(context, 1)
  const client = await dialClient(first, ticket.path).opened()
  const host = await openAsTold(agent, { identity, server: first })
  client.socket.pause()
  const frames = 1_000
  let left = 0
  for (let n = 0; n < frames; n++) {
    const frame = Buffer.alloc(STREAM_FRAME_BYTES_MAX, n % 256)
    frame[0] = 1
    host.socket.send(frame, () => left++)
  }
  // 64 MB are on their way; the server and the kernel take a part of it and no more.
  let before = -1
  while (before !== left) {
    before = left
    await sleep(300)
  }
  assert.ok(left < frames / 2, `${left} frames left the host`)
  assert.equal(client.closed, undefined)
  client.socket.resume()
  await waitUntil(() => client.messages.length === frames)
  assert.deepEqual(
    client.messages.map(({ bytes }) => bytes?.at(-1)),
    Array.from({ length: frames }, (_, n) => n % 256),
  )
})

test('a frame that is too large closes both sides', async (context) => {
  const { first, identity, agent, ticket } = await start(context, 1)
  const client = await dialClient(first, ticket.path).opened()
  const host = await openAsTold(agent, { identity, server: first })
  host.send(Buffer.alloc(STREAM_FRAME_BYTES_MAX + 1, 1))
  // 1009 is the close code for a message that is too big (RFC 6455, section 7.4.1).
  assert.equal((await host.closing()).code, 1009)
  await client.closing()
  assert.match(client.messages.at(-1)?.text ?? '', /HOST_UNREACHABLE/)
})

test('a client that vanishes ends the stream for the host', async (context) => {
  const { first, identity, agent, ticket } = await start(context, 1)
  const client = await dialClient(first, ticket.path).opened()
  const host = await openAsTold(agent, { identity, server: first })
  client.socket.terminate()
  assert.equal((await host.closing()).code, 1000)
})
