/**
 * A lock between processes of this machine, named, and gone with its holder: an abstract Unix socket. There is no
 * file that could be left behind, and no pid that could be somebody else's by now.
 */
import { readFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError } from '@nubo/base'
import { processOfSocket } from './ports.ts'

const POLL_MS = 50
const ASK_TIMEOUT_MS = 500
const ANSWER_BYTES_MAX = 200

/**
 * Does `work` while holding the lock. Waits up to `waitMs` for another holder, then throws NOT_ALLOWED_NOW, which
 * tells what the holder said it is doing.
 */
export async function withLock<Result>(
  lock: { name: string; doing: string; waitMs: number },
  work: () => Promise<Result>,
): Promise<Result> {
  const address = `\0nubo/${lock.name}`
  const deadline = performance.now() + lock.waitMs
  let held = await tryHold(address, lock.doing)
  while (held === undefined) {
    if (performance.now() > deadline) {
      refuseStranger(address)
      const doing = (await askHolder(address)) ?? 'something'
      throw new PlatformError(
        'NOT_ALLOWED_NOW',
        { next: 'wait until it has ended, then run the same command again' },
        { message: `Another process is busy here: ${doing}.` },
      )
    }
    await sleep(POLL_MS)
    held = await tryHold(address, lock.doing)
  }
  const server = held
  try {
    return await work()
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
}

function tryHold(address: string, doing: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined) // the asker went away
      socket.end(`${doing} (process ${process.pid})`)
    })
    server.once('error', (error) => {
      if ('code' in error && error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen(address, () => {
      server.unref()
      resolve(server)
    })
  })
}

/** Every user of the machine can take the name and keep it; then waiting does not help, and its owner must be named. */
function refuseStranger(address: string): void {
  const shown = `@${address.slice(1)}`
  const line = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .find((entry) => entry.endsWith(` ${shown}`))
  const holder = processOfSocket(line?.trim().split(/\s+/)[6] ?? '')
  if (holder === undefined || holder.uid === process.getuid?.()) return
  throw new PlatformError(
    'NOT_ALLOWED_NOW',
    { pid: holder.pid, uid: holder.uid, next: `end it: kill ${holder.pid}` },
    {
      message: `Process ${holder.pid} of user ${holder.uid} holds the lock ${shown} and is no Nubo.`,
    },
  )
}

function askHolder(address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect(address)
    const settle = (): void => {
      socket.destroy()
      resolve(answer === '' ? undefined : answer.slice(0, ANSWER_BYTES_MAX))
    }
    socket.setTimeout(ASK_TIMEOUT_MS, settle)
    // Anybody on this machine can hold the name: what is shown of the answer must not steer a terminal.
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '')
      if (answer.length > ANSWER_BYTES_MAX) settle()
    })
    socket.on('close', settle)
    socket.on('error', settle)
  })
}
