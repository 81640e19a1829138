import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { seededRandom, sleep } from '@nubo/base'
import { STREAM_CREDIT_BYTES } from '@nubo/contracts'
import { ContractError, createClient, StreamError, type StreamConnection } from './index.ts'
import {
  SAMPLE_TIME_MS,
  startContractServer,
  testClock,
  type ContractServer,
  type ServerSocket,
  type SocketMessage,
} from './testing/index.ts'

const servers: ContractServer[] = []
after(() => Promise.all(servers.map((server) => server.close())))
const clock = testClock()
const ticket = { path: '/v1/streams/one-time', expiresAtMs: SAMPLE_TIME_MS + 30_000 }

/** Opens a stream the way a caller does: the ticket's server is asked, even if another one is tried first later. */
async function openStream(
  serve: (socket: ServerSocket) => Promise<void> | void,
): Promise<StreamConnection> {
  const server = await startContractServer({
    handlers: {
      setExec: () => ticket,
      stream: (path, socket) => {
        assert.equal(path, ticket.path)
        return serve(socket)
      },
    },
  })
  servers.push(server)
  const client = createClient({
    servers: [server.url],
    token: 'secret',
    clock,
    random: seededRandom(1),
  })
  const given = await client.setExec({ params: { id: 'web' }, body: { command: ['sh'] } })
  return client.openStream(given)
}

function end(
  exitCode: number | null,
  error: { code: string; message: string } | null = null,
): string {
  return JSON.stringify({ type: 'end', exitCode, error })
}

function isText(message: SocketMessage): message is { text: string } {
  return 'text' in message
}

async function readAll(stream: StreamConnection): Promise<{ stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' }
  for await (const { channel, bytes } of stream.output)
    text[channel] += Buffer.from(bytes).toString()
  return text
}

test('output of both channels, then the exit code', async () => {
  const stream = await openStream((socket) => {
    socket.sendBytes(Uint8Array.of(1, 104, 105))
    socket.sendBytes(Uint8Array.of(2, 33))
    socket.sendText(end(7))
  })
  assert.deepEqual(await readAll(stream), { stdout: 'hi', stderr: '!' })
  assert.deepEqual(await stream.ended, { exitCode: 7, error: null })
})

test('input, resize, signal and the end of input reach the server in order', async () => {
  const got: string[] = []
  const stream = await openStream(async (socket) => {
    for await (const message of socket.messages) {
      got.push(
        isText(message)
          ? message.text
          : `${message.bytes[0]}:${Buffer.from(message.bytes.subarray(1)).toString()}`,
      )
      if (got.length === 4) socket.sendText(end(0))
    }
  })
  await stream.write(Buffer.from('ls\n'))
  stream.resize({ columns: 100, rows: 30 })
  stream.signal('INT')
  stream.endStdin()
  await stream.ended
  assert.deepEqual(got, [
    '0:ls\n',
    '{"type":"resize","columns":100,"rows":30}',
    '{"type":"signal","signal":"INT"}',
    '{"type":"stdin-end"}',
  ])
  // After the end nothing fails and nothing is sent.
  await stream.write(Buffer.from('late'))
  stream.close()
})

test('a slow reader holds the sender at the credit; a reading one gives it back', async () => {
  const total = 3 * STREAM_CREDIT_BYTES
  let unacknowledged = 0
  let sent = 0
  const stream = await openStream(async (socket) => {
    const send = (): void => {
      while (sent < total && unacknowledged + 32_768 <= STREAM_CREDIT_BYTES) {
        socket.sendBytes(new Uint8Array(32_769).fill(1))
        sent += 32_768
        unacknowledged += 32_768
      }
      if (sent >= total) socket.sendText(end(0))
    }
    send()
    for await (const message of socket.messages) {
      if (!isText(message)) continue
      unacknowledged -= (JSON.parse(message.text) as { bytes: number }).bytes // proof: the only text sent here
      send()
    }
  })
  await sleep(clock, 50)
  assert.equal(sent, STREAM_CREDIT_BYTES)
  const { stdout } = await readAll(stream)
  assert.equal(stdout.length, total)
})

test('input waits for credit, and is dropped once the program has ended', async () => {
  let gotBytes = 0
  let beforeCredit = 0
  const stream = await openStream(async (socket) => {
    for await (const message of socket.messages) {
      if (isText(message)) continue
      gotBytes += message.bytes.byteLength - 1
      if (gotBytes === STREAM_CREDIT_BYTES) {
        // Whatever the client sends too much arrives in this time.
        setTimeout(() => {
          beforeCredit = gotBytes
          socket.sendText(JSON.stringify({ type: 'credit', bytes: STREAM_CREDIT_BYTES }))
        }, 50)
      }
      if (gotBytes === 2 * STREAM_CREDIT_BYTES) socket.sendText(end(0))
    }
  })
  await stream.write(new Uint8Array(10 * STREAM_CREDIT_BYTES))
  assert.equal(beforeCredit, STREAM_CREDIT_BYTES)
  assert.equal(gotBytes, 2 * STREAM_CREDIT_BYTES)
  assert.equal((await stream.ended).exitCode, 0)
})

test('more output than the credit allows ends the stream', async () => {
  const stream = await openStream((socket) => {
    for (let i = 0; i < 6; i++) socket.sendBytes(new Uint8Array(65_000).fill(1))
  })
  await assert.rejects(stream.ended, ContractError)
})

test('a stream that breaks before its end is an error for each reader, never a hang', async () => {
  for (const serve of [
    (socket: ServerSocket) => socket.close(),
    (socket: ServerSocket) => socket.destroy(),
    // Reserved bits set: not a WebSocket frame.
    (socket: ServerSocket) => socket.sendRaw(Uint8Array.of(0xf1, 0xff, 0xff, 0xff)),
  ]) {
    const stream = await openStream(serve)
    await assert.rejects(stream.ended, StreamError)
    await assert.rejects(readAll(stream), StreamError)
  }
  for (const text of ['{', '{"type":"stdin-end"}', '{"type":"end","exitCode":"0","error":null}']) {
    const stream = await openStream((socket) => socket.sendText(text))
    await assert.rejects(stream.ended, ContractError)
  }
})

test('a refused WebSocket, a ticket for elsewhere and an abort are errors', async () => {
  const server = await startContractServer({ handlers: {} })
  servers.push(server)
  const client = createClient({
    servers: [server.url],
    token: 'secret',
    clock,
    random: seededRandom(1),
  })
  await assert.rejects(client.openStream(ticket), StreamError)
  assert.throws(
    () => client.openStream({ ...ticket, path: '//elsewhere.example/x' }),
    ContractError,
  )
  const stream = await openStream(() => undefined)
  stream.close()
  await assert.rejects(stream.ended, StreamError)
})
