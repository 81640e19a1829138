import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlatformError, seededRandom, VirtualClock } from '@nubo/base'
import { silentLog } from '@nubo/runtime/process'
import { ImagePuller } from './image-puller.ts'

const { signal } = new AbortController()

function make(options: { ensure?: (digest: string) => Promise<void> } = {}) {
  const clock = new VirtualClock()
  const asked: string[] = []
  const changed: string[] = []
  const puller = new ImagePuller({
    clock,
    random: seededRandom(1),
    log: silentLog,
    driver: {
      ensureImage: async (image, auth, onProgress) => {
        asked.push(image.digest)
        assert.deepEqual(await auth(), { registry: 'r', token: image.repository })
        onProgress?.('1 of 2 MiB')
        await options.ensure?.(image.digest)
      },
    },
    tokens: { token: async (repository) => ({ registry: 'r', token: repository }) },
    parallelPullsMax: 2,
    onChange: (digest) => changed.push(digest),
  })
  const ensure = (digest: string): void => puller.ensure({ repository: 'web', digest }, signal)
  return { clock, puller, asked, changed, ensure }
}

test('an image is fetched once, whoever asks, and tells how far it is', async () => {
  const gate = Promise.withResolvers<void>()
  const { clock, puller, asked, changed, ensure } = make({ ensure: () => gate.promise })
  ensure('a')
  ensure('a')
  await clock.advance(0)
  assert.deepEqual(asked, ['a'])
  assert.deepEqual(puller.state('a'), {
    at: 'pulling',
    progress: 'fetching image web, 1 of 2 MiB',
  })
  gate.resolve()
  await clock.advance(0)
  assert.deepEqual(puller.state('a'), { at: 'ready' })
  assert.deepEqual(changed, ['a', 'a'])
  ensure('a')
  assert.deepEqual(asked, ['a'])
})

test('one that cannot be fetched is tried again in its time, ever later', async () => {
  let isThere = false
  const { clock, puller, asked, ensure } = make({
    ensure: async () => {
      if (!isThere) throw new PlatformError('IMAGE_PULL_FAILED', {}, { message: 'gone' })
    },
  })
  const pauses: number[] = []
  for (let at = 0; at < 9; at++) {
    ensure('a')
    ensure('a')
    await clock.advance(0)
    const state = puller.state('a')
    assert.equal(state.at, 'failed')
    pauses.push(state.retryAtMs - clock.monotonicMs())
    await clock.advance(pauses.at(-1) ?? 0)
  }
  assert.equal(asked.length, 9)
  assert.ok((pauses[0] ?? 0) <= 1_000)
  assert.ok(pauses.every((pause) => pause <= 60_000))
  assert.ok((pauses.at(-1) ?? 0) >= 30_000)
  isThere = true
  ensure('a')
  await clock.advance(0)
  assert.equal(puller.state('a').at, 'ready')
})

test('no more than the given number is fetched at once', async () => {
  const gate = Promise.withResolvers<void>()
  const { clock, asked, ensure } = make({ ensure: () => gate.promise })
  for (const digest of ['a', 'b', 'c', 'd']) ensure(digest)
  await clock.advance(0)
  assert.deepEqual(asked, ['a', 'b'])
  gate.resolve()
  await clock.advance(0)
  assert.deepEqual(asked, ['a', 'b', 'c', 'd'])
})

test('what no set uses is forgotten, and what the engine lost is fetched again', async () => {
  const { clock, puller, asked, ensure } = make()
  ensure('a')
  ensure('b')
  await clock.advance(0)
  puller.keepOnly(new Set(['b']))
  assert.equal(puller.state('a').at, 'unknown')
  puller.forget('b')
  assert.equal(puller.state('b').at, 'unknown')
  ensure('b')
  await clock.advance(0)
  assert.deepEqual(asked, ['a', 'b', 'b'])
})
