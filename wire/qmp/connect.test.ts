/** Connecting ends with a client or with an error that says why, and leaves no socket open. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

import { connectQmp, type QmpConnectOptions } from './connect.ts'
import { QmpAbortedError, QmpConnectionError, QmpTimeoutError, QmpValueError } from './errors.ts'
import { ManualTimers, settle } from './testing/manual-timers.ts'
import { GREETING } from './testing/scripted-qemu.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'qmp-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A monitor that greets and agrees to everything. */
async function serve(t: TestContext, path: string): Promise<Set<Socket>> {
  const open = new Set<Socket>()
  const server: Server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => undefined)
    socket.write(`${JSON.stringify(GREETING)}\r\n`)
    socket.on('data', (chunk: Buffer) => {
      const { id } = JSON.parse(chunk.toString()) as { id: string } // Our own client sends a line at a time.
      socket.write(`${JSON.stringify({ return: {}, id })}\r\n`)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => server.close())
  return open
}

function connect(path: string, options: Partial<QmpConnectOptions> = {}) {
  return connectQmp({ path, random: () => 0.5, ...options })
}

test('a monitor is reached through its socket', async (t) => {
  const path = join(await folder(t), 'm')
  const open = await serve(t, path)
  const client = await connect(path)
  assert.equal(client.greeting.version.major, 7)
  await client.run('stop')
  client.close()
  while (open.size > 0) await settle()
})

test('no socket, and a socket without a listener, are errors with their cause', async (t) => {
  const path = join(await folder(t), 'm')
  await assert.rejects(connect(path), (error) => {
    assert.ok(error instanceof QmpConnectionError)
    assert.match(error.message, /there is no such socket/)
    assert.match(String(error.cause), /ENOENT/)
    return error.outcome === 'not_sent'
  })
  await assert.rejects(connect('/dev/null'), /nobody listens on the socket/)
})

test('a path that no socket can have is refused', async () => {
  for (const path of [`/${'x'.repeat(107)}`, `/${'é'.repeat(54)}`, '/a\0b']) {
    await assert.rejects(connect(path), QmpValueError)
  }
})

test('a monitor that is being started is waited for', async (t) => {
  const path = join(await folder(t), 'm')
  const connecting = connect(path, { retryPauseMs: 2 })
  await settle()
  await serve(t, path)
  const client = await connecting
  client.close()
})

test('waiting for a monitor ends at the deadline, with the last cause', async (t) => {
  const path = join(await folder(t), 'm')
  const timers = new ManualTimers()
  const rejected = assert.rejects(
    connect(path, { timers, retryPauseMs: 100, connectTimeoutMs: 1_000 }),
    (error) => {
      assert.ok(error instanceof QmpTimeoutError)
      assert.match(error.message, /not connected within 1000 ms/)
      return /ENOENT/.test(String(error.cause))
    },
  )
  for (let step = 0; step < 30 && timers.pending > 0; step += 1) {
    await settle()
    await timers.advance(100)
  }
  await rejected
  assert.equal(timers.pending, 0)
})

test('the caller may give up before, and while waiting', async (t) => {
  const path = join(await folder(t), 'm')
  await assert.rejects(connect(path, { signal: AbortSignal.abort() }), QmpAbortedError)
  const caller = new AbortController()
  const timers = new ManualTimers()
  const rejected = assert.rejects(
    connect(path, { signal: caller.signal, retryPauseMs: 60_000, timers }),
    QmpAbortedError,
  )
  while (timers.pending < 2) await settle()
  caller.abort()
  await rejected
  assert.equal(timers.pending, 0)
})
