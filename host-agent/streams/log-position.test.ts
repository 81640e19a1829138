// Proves that a log which is continued after any of its entries gives the rest exactly, also where time stamps are equal
// or out of order, and says when it cannot know.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, seededRandom } from '@nubo/base'
import { FakeLog } from '../drivers/set/fake/fake-log.ts'
import type { LogEntry, LogRequest } from '../drivers/set/set-driver.ts'
import { Positions, tracked, type EntryPosition, type TrackedItem } from './log-position.ts'

const START_NS = 1_700_000_000_000_000_000n
const nowMs = Number(START_NS / 1_000_000n)

function entry(text: string, offsetNs: number): LogEntry {
  return { stream: 'stdout', bytes: Buffer.from(text), atNs: START_NS + BigInt(offsetNs) }
}

function logOf(entries: readonly LogEntry[], { isEnded = true } = {}): FakeLog {
  const log = new FakeLog()
  for (const one of entries) log.add(one)
  if (isEnded) log.end()
  return log
}

async function read(
  log: FakeLog,
  after: EntryPosition | undefined,
  request: LogRequest = { follow: true },
): Promise<TrackedItem[]> {
  const items: TrackedItem[] = []
  for await (const item of tracked((asked) => log.read(asked), request, { after, nowMs }))
    items.push(item)
  return items
}

const texts = (items: readonly TrackedItem[]): string[] =>
  items.map((item) => (item.is === 'entry' ? Buffer.from(item.entry.bytes).toString() : item.is))

test('a position counts entries of one time stamp, with others between them too', () => {
  const positions = new Positions()
  const counts = [1n, 1n, 3n, 1n, 2n, 2n, 3n].map((atNs) => positions.next(atNs).count)
  assert.deepEqual(counts, [1, 2, 1, 3, 1, 2, 2])
})

test('pieces of a long line with the other output between them: after each the rest comes once', async () => {
  const entries = [
    entry('a', 1),
    entry('b', 5),
    entry('a', 1),
    entry('a', 1),
    entry('b', 5),
    entry('c', 6),
  ]
  const all = await read(logOf(entries), undefined)
  for (const [at, { position }] of all.entries()) {
    const rest = await read(logOf(entries), position)
    assert.deepEqual(texts(rest), texts(all.slice(at + 1)), `after ${at}`)
  }
})

test('continued after any entry, the rest comes once and in order: equal stamps, a nanosecond apart, out of order', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed)
    let atNs = 0
    const entries = Array.from({ length: 20 }, (_, at) => {
      const step = integerBelow(random, 4)
      if (step > 0) atNs += step === 1 ? 1 : integerBelow(random, 5_000_000)
      return entry(`${at}`, atNs)
    })
    // Neighbours change places, as stdout and stderr do; pieces of a line stay together.
    for (let at = 2; at < entries.length; at += 5) {
      const [one, other] = [entries[at - 1], entries[at]]
      const around = [entries[at - 2], entries[at + 1]]
      if (one === undefined || other === undefined) continue
      if (around.some((near) => near?.atNs === one.atNs || near?.atNs === other.atNs)) continue
      entries.splice(at - 1, 2, other, one)
    }
    const all = await read(logOf(entries), undefined)
    assert.equal(all.length, entries.length)
    for (const [at, { position }] of all.entries()) {
      const rest = await read(logOf(entries), position)
      assert.deepEqual(texts(rest), texts(all.slice(at + 1)), `seed ${seed}, after ${at}`)
      assert.deepEqual(rest.at(-1)?.position, rest.length > 0 ? all.at(-1)?.position : undefined)
    }
  }
})

test('nothing has been carried: everything from that moment on comes, and nothing is called lost', async () => {
  const log = logOf([entry('before', -1), entry('now', 0), entry('later', 5)])
  assert.deepEqual(texts(await read(log, { atNs: START_NS, count: 0 })), ['now', 'later'])
})

test('another log, or one that was rotated past the position, is said to be, and comes whole', async () => {
  const position = { atNs: START_NS + 10n, count: 1 }
  const later = logOf([entry('a', 20), entry('b', 30)])
  assert.deepEqual(texts(await read(later, position)), ['lost', 'a', 'b'])
  // A set that was placed elsewhere, on a host whose clock is behind.
  const behind = logOf([entry('a', -5_000_000_000)])
  assert.deepEqual(texts(await read(behind, position)), ['lost', 'a'])
  assert.deepEqual(texts(await read(logOf([]), position)), ['lost'])
})

test('what is rotated out between two looks is lost, not waited for', async () => {
  const found = logOf([entry('a', 0)])
  const rotated = logOf([entry('b', 2_000_000_000)])
  let looks = 0
  const items: TrackedItem[] = []
  for await (const item of tracked(
    (request) => (looks++ === 0 ? found : rotated).read(request),
    { follow: true },
    { after: { atNs: START_NS, count: 1 }, nowMs },
  ))
    items.push(item)
  assert.deepEqual(texts(items), ['lost', 'b'])
})

test('a followed tail: its position is that of the whole log, also in the middle of a line, and without any entry', async () => {
  const pieces = [entry('a', 0), entry('b', 7), entry('c', 7), entry('d', 7)]
  const items = await read(logOf(pieces), undefined, { follow: true, tail: 2 })
  assert.deepEqual(texts(items), ['c', 'd', 'position'])
  assert.deepEqual(items.at(-1)?.position, { atNs: START_NS + 7n, count: 3 })
  const none = await read(logOf(pieces), undefined, { follow: true, tail: 0 })
  assert.deepEqual(none[0], { is: 'position', position: { atNs: START_NS, count: 0 } })
})

test('a followed tail goes on with what is written next', async () => {
  const log = logOf([entry('a', 0), entry('b', 1)], { isEnded: false })
  const follow = tracked(
    (request) => log.read(request),
    { follow: true, tail: 1 },
    { after: undefined, nowMs },
  )
  const next = async (): Promise<string | undefined> => {
    const { value } = await follow.next()
    return value === undefined ? undefined : texts([value])[0]
  }
  assert.deepEqual([await next(), await next()], ['b', 'position'])
  log.add(entry('c', 2))
  assert.equal(await next(), 'c')
  log.end()
  assert.equal(await next(), undefined)
})
