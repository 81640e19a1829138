// Logs of a real Docker Engine continued after any entry: the time stamps, the long lines and the rotation are the engine's.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { waitUntil } from '@nubo/wire-docker/testing'
import { tracked, type EntryPosition, type TrackedItem } from '../../streams/log-position.ts'
import type { LogEntry, LogRequest } from './set-driver.ts'
import { DockerStage } from './testing/docker-stage.ts'

describe('positions in logs of docker', () => {
  let stage: DockerStage

  before(async () => {
    stage = await DockerStage.open()
    await stage.driver.prepare()
    await stage.driver.ensureImage(stage.image, stage.auth)
  })
  after(async () => await stage.close())

  async function entriesOf(setId: string, request: LogRequest = {}): Promise<LogEntry[]> {
    const entries: LogEntry[] = []
    for await (const entry of stage.driver.logs(setId, 'main', request)) entries.push(entry)
    return entries
  }

  async function continuedAfter(
    setId: string,
    position: EntryPosition | undefined,
    request: LogRequest = {},
  ): Promise<TrackedItem[]> {
    const items: TrackedItem[] = []
    const read = (asked: LogRequest) => stage.driver.logs(setId, 'main', asked)
    const how = { after: position, nowMs: Date.now() }
    for await (const item of tracked(read, request, how)) items.push(item)
    return items
  }

  const bytesOf = (items: readonly TrackedItem[]): string[] =>
    items.map((item) => (item.is === 'entry' ? Buffer.from(item.entry.bytes).toString() : item.is))

  test('after every entry the rest comes exactly: both outputs, long lines in pieces of one stamp', async () => {
    // A line of 40 KB is three entries; lines of a loop are microseconds apart.
    const script = `
      i=0; while [ $i -lt 40 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done
      head -c 40000 /dev/zero | tr '\\0' x; echo; echo last; exec sleep 100000`
    const set = await stage.started({
      containers: [stage.container({ command: ['sh', '-c', script] })],
    })
    await waitUntil('all is written', async () =>
      (await entriesOf(set.setId)).some(({ bytes }) => Buffer.from(bytes).toString() === 'last\n'),
    )
    const all = await continuedAfter(set.setId, undefined)
    assert.equal(all.length, 84)
    const pieces = all.filter((item) => item.is === 'entry' && item.entry.bytes.length > 1_000)
    const counts = pieces.map(({ position }) => position.count)
    assert.deepEqual(counts, [1, 2, 3], 'pieces of the long line share their stamp')
    for (const [at, { position }] of all.entries()) {
      const rest = await continuedAfter(set.setId, position)
      assert.deepEqual(bytesOf(rest), bytesOf(all.slice(at + 1)), `after entry ${at}`)
    }
    await stage.driver.removeSet(set.setId)
  })

  test('followed, left and continued again and again under a writer: each number once, in order', async () => {
    const lines = 300
    const script = `i=1; while [ $i -le ${lines} ]; do echo $i; i=$((i+1)); usleep 2000; done`
    const set = await stage.started({
      containers: [stage.container({ command: ['sh', '-c', script] })],
    })
    const numbers: string[] = []
    let position: EntryPosition | undefined
    for (let turn = 1; numbers.length < lines; turn++) {
      assert.ok(turn < 1_000, 'it never came to the end')
      const caller = new AbortController()
      const read = (asked: LogRequest) => stage.driver.logs(set.setId, 'main', asked)
      const request = { follow: true, signal: caller.signal }
      let taken = 0
      for await (const item of tracked(read, request, { after: position, nowMs: Date.now() })) {
        assert.equal(item.is, 'entry')
        numbers.push(...bytesOf([item]))
        position = item.position
        if (++taken === 1 + (turn % 25)) break
      }
      caller.abort()
    }
    assert.deepEqual(
      numbers,
      Array.from({ length: lines }, (_, at) => `${at + 1}\n`),
    )
    await stage.driver.removeSet(set.setId)
  })

  test('the log of a container that was made anew, or was rotated past the position, is said to be another', async () => {
    const print = (text: string) =>
      stage.container({ command: ['sh', '-c', `echo ${text}; exec sleep 100000`] })
    const set = await stage.started({ containers: [print('first')] })
    const written = async () => (await entriesOf(set.setId)).length > 0
    await waitUntil('the first is written', written)
    const [first] = await continuedAfter(set.setId, undefined)
    await stage.driver.removeSet(set.setId)
    const again = { ...set, containers: [print('second')] }
    await stage.driver.startSandbox(again)
    await stage.driver.startContainer(again, 'main')
    await waitUntil('the second is written', written)
    const continued = await continuedAfter(set.setId, first?.position)
    assert.deepEqual(bytesOf(continued), ['lost', 'second\n'])
    await stage.driver.removeSet(set.setId)

    const noisy = `echo start; i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; echo end; exec sleep 100000`
    const small = await stage.started({
      containers: [stage.container({ command: ['sh', '-c', noisy], logBytesMax: 64 * 1024 })],
    })
    await waitUntil('the end is written', async () =>
      (await entriesOf(small.setId, { tail: 1 })).some(
        ({ bytes }) => Buffer.from(bytes).toString() === 'end\n',
      ),
    )
    const left = await entriesOf(small.setId)
    assert.ok(left.length < 3_000, 'it was rotated')
    const before = { atNs: (left[0]?.atNs ?? 0n) - 1n, count: 1 }
    const rest = await continuedAfter(small.setId, before)
    assert.deepEqual([rest[0]?.is, rest.length], ['lost', left.length + 1])
    await stage.driver.removeSet(small.setId)
  })
})
