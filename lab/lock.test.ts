import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { start } from '@nubo/runtime'
import { waitUntil } from '../tests/support/wait.ts'
import { withLock } from './lock.ts'

describe('withLock', () => {
  const name = `test-${process.pid}`

  it('lets one in at a time and tells the other what is going on', async () => {
    await withLock({ name, doing: 'nubo up', waitMs: 0 }, async () => {
      await assert.rejects(
        withLock({ name, doing: 'nubo down', waitMs: 0 }, async () => undefined),
        (error) =>
          isPlatformError(error, 'NOT_ALLOWED_NOW') &&
          error.message.includes(`nubo up (process ${process.pid})`),
      )
    })
    assert.equal(await withLock({ name, doing: 'again', waitMs: 0 }, async () => 'in'), 'in')
  })

  it('shows nothing of a holder that could steer a terminal, and not without end', async () => {
    const holder = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.end(`\u001b]0;owned\u0007${'x'.repeat(100_000)}`)
    })
    await new Promise<void>((resolve) => void holder.listen(`\0nubo/${name}`, resolve))
    try {
      await assert.rejects(
        withLock({ name, doing: 'anything', waitMs: 0 }, async () => undefined),
        (error) =>
          isPlatformError(error, 'NOT_ALLOWED_NOW') && /^[\x20-\x7e]{1,300}$/.test(error.message),
      )
    } finally {
      holder.close()
    }
  })

  it('names another user who squats on it', async () => {
    const squatted = `${name}-squatted` // a name that no other test has just let go of
    const squat = `use Socket; $| = 1; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("\\0nubo/${squatted}")) or die; listen(S, 1); sleep 60`
    const nobody = { uid: 65_534, gid: 65_534 }
    const squatter = start({ argv: ['perl', '-e', squat], cwd: '/', user: nobody })
    try {
      await waitUntil(
        () => readFileSync('/proc/net/unix', 'utf8').includes(`@nubo/${squatted}\n`),
        (isThere) => isThere,
      )
      await assert.rejects(
        withLock({ name: squatted, doing: 'mine', waitMs: 0 }, async () => undefined),
        (error) =>
          isPlatformError(error, 'NOT_ALLOWED_NOW') &&
          error.message.includes(`Process ${squatter.pid} of user 65534`),
      )
    } finally {
      await squatter.stop()
    }
  })

  it('waits for its turn', async () => {
    const order: string[] = []
    const first = withLock({ name, doing: 'first', waitMs: 0 }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      order.push('first')
    })
    await withLock({ name, doing: 'second', waitMs: 5_000 }, async () => order.push('second'))
    await first
    assert.deepEqual(order, ['first', 'second'])
  })

  it('is free again after a failure, and after kill -9 of its holder', async () => {
    await assert.rejects(
      withLock({ name, doing: 'fails', waitMs: 0 }, async () => Promise.reject(new Error('no'))),
      /no/,
    )
    const module = JSON.stringify(new URL('lock.ts', import.meta.url).href)
    const program = `import { withLock } from ${module}
      await withLock({ name: ${JSON.stringify(name)}, doing: 'hanging', waitMs: 10_000 }, () => new Promise(() => setInterval(() => {}, 1000)))`
    const holder = start({ argv: [process.execPath, '--input-type=module', '-e', program] })
    const isHeld = async (): Promise<boolean> =>
      withLock({ name, doing: 'looking', waitMs: 0 }, async () => false).catch(() => true)
    // A look takes the lock for a moment, so the holder waits for it.
    await waitUntil(isHeld, (held) => held)
    process.kill(holder.pid, 'SIGKILL')
    await holder.exited
    assert.equal(await isHeld(), false)
  })
})
