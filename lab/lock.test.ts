import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { start } from '@nubo/runtime'
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
      await withLock({ name: ${JSON.stringify(name)}, doing: 'hanging', waitMs: 0 }, () => new Promise(() => setInterval(() => {}, 1000)))`
    const holder = start({ argv: [process.execPath, '--input-type=module', '-e', program] })
    const isHeld = async (): Promise<boolean> =>
      withLock({ name, doing: 'looking', waitMs: 0 }, async () => false).catch(() => true)
    while (!(await isHeld())) await new Promise((resolve) => setTimeout(resolve, 10))
    process.kill(holder.pid, 'SIGKILL')
    await holder.exited
    assert.equal(await isHeld(), false)
  })
})
