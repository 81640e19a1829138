import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sleep } from '@nubo/base'
import {
  SAMPLE_TIME_MS,
  startContractServer,
  testClock,
  type ContractServer,
  type ServerSocket,
} from '@nubo/client/testing'
import { runCommand } from '../run.ts'
import { fakeTerminal, type FakeTerminal } from '../testing/terminal.ts'

const servers: ContractServer[] = []
after(() => Promise.all(servers.map((server) => server.close())))
const ticket = { path: '/v1/streams/one-time', expiresAtMs: SAMPLE_TIME_MS + 30_000 }

interface Asked {
  body?: unknown
}

/** Starts a command against a server whose host side is `serve`. */
async function start(
  argv: readonly string[],
  serve: (socket: ServerSocket) => Promise<void> | void,
  isTty = true,
): Promise<{ terminal: FakeTerminal; done: Promise<number>; asked: Asked }> {
  const asked: Asked = {}
  const takeTicket = ({ body }: { body: unknown }): typeof ticket => {
    asked.body = body
    return ticket
  }
  const server = await startContractServer({
    handlers: { setExec: takeTicket, setLogs: takeTicket, stream: (_, socket) => serve(socket) },
  })
  servers.push(server)
  const env = { NUBO_SERVERS: server.url, NUBO_TOKEN: 'secret' }
  const terminal = fakeTerminal({ argv, env, isTty })
  return { terminal, done: runCommand(terminal.surroundings), asked }
}

function end(socket: ServerSocket, exitCode: number | null, code?: string): void {
  const error = code === undefined ? null : { code, message: 'It went wrong.' }
  socket.sendText(JSON.stringify({ type: 'end', exitCode, error }))
}

async function until(isTrue: () => boolean): Promise<void> {
  const clock = testClock()
  for (let tries = 0; !isTrue(); tries++) {
    assert.ok(tries < 1_000, 'it never came')
    await sleep(clock, 5)
  }
}

test('exec in a terminal: raw keys, size, signals, exit code, and the terminal is given back', async () => {
  const got: string[] = []
  const { terminal, done, asked } = await start(
    ['set', 'exec', '-it', 'web', '-c', 'db', '--', 'sh', '-l'],
    async (socket) => {
      socket.sendBytes(Buffer.from('\u0001$ '))
      for await (const message of socket.messages) {
        got.push('text' in message ? message.text : Buffer.from(message.bytes).toString())
        if (got.length === 3) end(socket, 42)
      }
    },
  )
  await until(() => terminal.printed.stdout === '$ ')
  assert.deepEqual(asked.body, {
    container: 'db',
    command: ['sh', '-l'],
    tty: true,
    stdin: true,
    columns: 80,
    rows: 24,
  })
  assert.deepEqual(terminal.rawModes, [true])
  terminal.type('\u0003')
  await until(() => got.length === 1)
  terminal.resize(120, 40)
  assert.equal(terminal.signal('SIGTERM'), true)
  assert.equal(await done, 42)
  assert.deepEqual(got, [
    '\u0000\u0003',
    '{"type":"resize","columns":120,"rows":40}',
    '{"type":"signal","signal":"TERM"}',
  ])
  assert.deepEqual(terminal.rawModes, [true, false])
  assert.equal(terminal.signal('SIGTERM'), false)
})

test('exec in a pipe: the input, its end, both channels', async () => {
  const { terminal, done, asked } = await start(
    ['set', 'exec', '-i', 'web', '--', 'sort'],
    async (socket) => {
      let input = ''
      for await (const message of socket.messages) {
        if ('bytes' in message) input += Buffer.from(message.bytes.subarray(1)).toString()
        else if (message.text.includes('stdin-end')) {
          socket.sendBytes(Buffer.from(`\u0001${input}`))
          socket.sendBytes(Buffer.from('\u0002warning\n'))
          end(socket, 0)
        }
      }
    },
    false,
  )
  terminal.type('b\na\n')
  terminal.endInput()
  assert.equal(await done, 0)
  assert.deepEqual(terminal.printed, { stdout: 'b\na\n', stderr: 'warning\n' })
  assert.equal((asked.body as { tty: boolean }).tty, false)
})

test('exec: a refusal of the host, a lost stream, and a -t without terminal', async () => {
  const refused = await start(['set', 'exec', 'web', '--', 'nope'], (socket) =>
    end(socket, null, 'CONTAINER_START_FAILED'),
  )
  assert.equal(await refused.done, 1)
  assert.match(refused.terminal.printed.stderr, /It went wrong\..*\(CONTAINER_START_FAILED\)/)
  const lost = await start(['set', 'exec', '-it', 'web', '--', 'sh'], (socket) => socket.destroy())
  assert.equal(await lost.done, 1)
  assert.match(lost.terminal.printed.stderr, /cannot be continued.*\(STREAM_BROKEN\)/)
  assert.equal(lost.terminal.rawModes.at(-1), false)
  const piped = await start(['set', 'exec', '-it', 'web', '--', 'sh'], () => undefined, false)
  assert.equal(await piped.done, 2)
  assert.match(piped.terminal.printed.stderr, /not a terminal/)
})

test('exec: three interrupts leave a program that does not react', async () => {
  const { terminal, done } = await start(['set', 'exec', 'web', '--', 'sleep', '99'], (socket) => {
    socket.sendBytes(Buffer.from('\u0001started'))
  })
  await until(() => terminal.printed.stdout === 'started')
  for (let i = 0; i < 3; i++) terminal.signal('SIGINT')
  assert.equal(await done, 1)
})

test('logs: the options reach the server, both channels are printed', async () => {
  const { terminal, done, asked } = await start(
    ['set', 'logs', '-f', '--since', '10m', '--tail', '5', 'web'],
    (socket) => {
      socket.sendBytes(Buffer.from('\u0001one\n'))
      socket.sendBytes(Buffer.from('\u0002two\n'))
      end(socket, null)
    },
    false,
  )
  assert.equal(await done, 0)
  assert.deepEqual(terminal.printed, { stdout: 'one\n', stderr: 'two\n' })
  const { sinceMs, ...body } = asked.body as { sinceMs: number }
  assert.deepEqual(body, { follow: true, tail: 5, positions: true })
  assert.ok(Math.abs(SAMPLE_TIME_MS - 600_000 - sinceMs) < 10_000)
})

test('logs: a server that dies is followed by the next one; nothing is missing, and --debug tells', async () => {
  const position = (number: number): string =>
    JSON.stringify({
      type: 'position',
      containers: number === 0 ? {} : { main: { atNs: `${number}`, count: 1 } },
    })
  const bodies: unknown[] = []
  const serverOf = async (serve: (socket: ServerSocket) => void): Promise<ContractServer> => {
    const server = await startContractServer({
      handlers: {
        setLogs: ({ body }) => {
          bodies.push(body)
          return ticket
        },
        stream: (_, socket) => serve(socket),
      },
    })
    servers.push(server)
    return server
  }
  const dying = await serverOf((socket) => {
    socket.sendText(position(0))
    socket.sendBytes(Buffer.from('\u0001one\n'))
    socket.sendText(position(1))
    // Not covered by a position yet, so it comes again.
    socket.sendBytes(Buffer.from('\u0001two\n'))
    setTimeout(() => socket.destroy(), 20)
  })
  const staying = await serverOf((socket) => {
    socket.sendText(position(0))
    socket.sendText(JSON.stringify({ type: 'lost', container: 'main' }))
    socket.sendBytes(Buffer.from('\u0001two\n'))
    end(socket, null)
  })
  for (const debug of [[], ['--debug']]) {
    const terminal = fakeTerminal({
      argv: ['set', 'logs', '-f', 'web', ...debug],
      env: { NUBO_SERVERS: `${dying.url},${staying.url}`, NUBO_TOKEN: 'secret' },
      isTty: false,
    })
    assert.equal(await runCommand(terminal.surroundings), 0)
    const { stdout, stderr } = terminal.printed
    assert.equal(stdout, 'one\ntwo\n')
    assert.match(stderr, /may be missing/)
    assert.equal(
      /connection to the server was lost for .*; continued/.test(stderr),
      debug.length > 0,
    )
  }
  assert.deepEqual(bodies.slice(0, 2), [
    { follow: true, positions: true },
    { follow: true, positions: true, after: { main: { atNs: '1', count: 1 } } },
  ])
})
