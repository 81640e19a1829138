// Proves what a watch tells: every view that a change alters, and every end, to those who may see it and no others.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ProjectId } from '@nubo/base'
import type { WatchEvent, WatchKind } from '@nubo/contracts'
import { systemClock, type Encoded } from '@nubo/runtime'
import {
  change,
  gone,
  hostId,
  hostRow,
  networkRow,
  portRow,
  put,
  setId,
  setRow,
  subnetRow,
  tokenRow,
  type Put,
} from './host-sessions/testing/rows.ts'
import { createWatches } from './watch.ts'
import { World, type TokenRow } from './world/index.ts'

const token = tokenRow()
// proof: the row of a member has a project
const project = token.projectId as ProjectId

function filledWorld(...rows: Put[]): World {
  const world = new World(systemClock)
  change(world, put('network', networkRow(1)), put('subnet', subnetRow(1)), ...rows)
  return world
}

async function* eventsOf(
  batches: AsyncIterable<readonly Encoded<WatchEvent>[]>,
): AsyncGenerator<WatchEvent> {
  // proof: the text of an event of a watch
  for await (const batch of batches)
    for (const { text } of batch) yield JSON.parse(text) as WatchEvent
}

/** A watch that is read up to `synced`; `next` gives what one more revision tells. */
async function begin(
  world: World,
  asked: { from?: number; kinds?: readonly WatchKind[]; role?: TokenRow['role'] } = {},
) {
  const stop = new AbortController()
  const stream = eventsOf(
    createWatches({ world, clock: systemClock }).watch({
      caller: {
        tokenId: token.id,
        tokenName: 'dev',
        accountId: null,
        role: asked.role ?? 'member',
        project,
      },
      asked: { from: asked.from, kinds: asked.kinds, id: undefined },
      signal: stop.signal,
      isStillAllowed: () => true,
    }),
  )
  const read = async (isLast: (event: WatchEvent) => boolean): Promise<string[]> => {
    const labels: string[] = []
    for (;;) {
      const { value, done } = await stream.next()
      if (done === true || isLast(value)) return labels
      labels.push(`${value.type} ${value.kind} ${value.id}`)
    }
  }
  const first = await read((event) => event.type === 'synced')
  return {
    first,
    /** The events of one revision; a network that nobody has is put last, so that it is known where they end. */
    next: async (...rows: Put[]): Promise<string[]> => {
      const end = networkRow(99, { createdAtMs: world.revision })
      change(world, ...rows)
      change(world, put('network', end))
      return read((event) => event.kind === 'network' && event.id === end.id)
    },
    stop: () => stop.abort(),
  }
}

test('a new port shows in its set, its network and its subnet', async () => {
  const world = filledWorld(put('set', setRow(1)))
  const watcher = await begin(world)
  const port = portRow(1, { setId: setId(1) })
  const told = await watcher.next(put('port', port))
  assert.deepEqual(
    new Set(told),
    new Set([
      `change port ${port.id}`,
      `change set ${setId(1)}`,
      `change network ${networkRow(1).id}`,
      `change subnet ${subnetRow(1).id}`,
    ]),
  )
  assert.equal(told.length, 4, 'each object once')
})

test('a set that is placed shows in its ports, and to operators in its host', async () => {
  const world = filledWorld(
    put('host', hostRow(1)),
    put('set', setRow(1)),
    put('port', portRow(1, { setId: setId(1) })),
  )
  const member = await begin(world)
  const operator = await begin(world, { role: 'operator', kinds: ['host', 'network'] })
  const placed = put('set', setRow(1, { hostId: hostId(1) }))
  const byOperator = operator.next(placed)
  assert.deepEqual(await byOperator, [`change host ${hostId(1)}`])
  const again = await member.next(put('set', setRow(1, { hostId: null })))
  assert.ok(again.includes(`change port ${portRow(1).id}`))
  assert.ok(again.every((label) => !label.includes(' host ')))
})

test('the end of a set is told to a watcher that resumes, in whatever order its rows went', async () => {
  const world = filledWorld(put('set', setRow(1)))
  const from = world.revision
  change(world, gone('set', setId(1)), gone('setFound', setId(1)))
  const watcher = await begin(world, { from })
  assert.deepEqual(watcher.first, [`removed set ${setId(1)}`])
})

test('what is of another project is told neither at the beginning nor when it changes or ends', async () => {
  const other = 'f0000000-0000-7000-8000-0000000000ff' as ProjectId // proof: a UUID
  const world = filledWorld(put('set', setRow(1, { projectId: other })))
  const from = world.revision
  const watcher = await begin(world)
  assert.ok(watcher.first.every((label) => !label.includes(' set ')))
  const told = await watcher.next(
    put('set', setRow(1, { projectId: other, generation: 2 })),
    put('set', setRow(2, { projectId: other })),
    gone('set', setId(2)),
  )
  assert.deepEqual(told, [])
  const resumed = await begin(world, { from, kinds: ['set'] })
  assert.deepEqual(resumed.first, [])
})

test('the history keeps no rows, only whose they were and what they referred to', () => {
  const world = filledWorld(put('set', setRow(1)))
  const from = world.revision
  change(world, put('set', setRow(1, { generation: 2 })))
  const [set] = world.changesSince(from) ?? []
  assert.doesNotMatch(JSON.stringify(set), /containers|env|repository/)
  assert.equal(set?.changes[0]?.before?.projectId, project)
})
