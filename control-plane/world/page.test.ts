// Proves that pages and whole lists tell what was there, once and in order, while everything changes underneath.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, isPlatformError, pick, seededRandom, type Random } from '@nubo/base'
import { Encoded, systemClock, WholeList } from '@nubo/runtime'
import {
  change,
  gone,
  networkId,
  portRow,
  put,
  networkRow,
  setId,
  setRow,
  type Put,
} from '../host-sessions/testing/rows.ts'
import { page, World, type PortRow, type Selection, type WorldReader } from './index.ts'
import { SNAPSHOT_ROWS_MAX } from './snapshot.ts'

const PORTS = 60

/** What a view of a port shows of the rows around it. */
interface Shown {
  readonly id: string
  readonly address: string
  readonly network: string
  readonly set: string | null
  readonly beside: number
}

function view(world: WorldReader, row: PortRow): Shown {
  return {
    id: row.id,
    address: row.address,
    network: world.network.get(row.networkId)?.name ?? '',
    set: world.set.get(row.setId)?.name ?? null,
    beside:
      world.port.by('instance', row.setId).length + world.port.countBy('network', row.networkId),
  }
}

function randomChange(random: Random): Put {
  const n = 1 + integerBelow(random, PORTS)
  switch (pick(random, ['port', 'port', 'port gone', 'set', 'set gone', 'network'] as const)) {
    case 'port':
      return put(
        'port',
        portRow(n, {
          address: `10.9.1.${integerBelow(random, 250)}`,
          networkId: networkId(1 + integerBelow(random, 3)),
          setId: integerBelow(random, 2) === 0 ? null : setId(1 + integerBelow(random, 9)),
        }),
      )
    case 'port gone':
      return gone('port', portRow(n).id)
    case 'set':
      return put('set', setRow(1 + (n % 9), { name: `set-${integerBelow(random, 1_000)}` }))
    case 'set gone':
      return gone('set', setId(1 + (n % 9)))
    default:
      return put('network', networkRow(1 + (n % 3), { name: `net-${integerBelow(random, 1_000)}` }))
  }
}

function filledWorld(random: Random): World {
  const world = new World(systemClock)
  change(world, ...[1, 2, 3].map((n) => put('network', networkRow(n))))
  for (let at = 0; at < 200; at++) change(world, randomChange(random))
  return world
}

const everything = (world: World): Selection<PortRow> => ({ rows: (range) => world.port.in(range) })

async function readPage(
  world: World,
  query: { limit: number; cursor?: string | undefined },
  list: Selection<PortRow> & { newestFirst?: boolean },
): Promise<{ items: Shown[]; cursor: string | null; revision: number }> {
  const reply = await page(world, { query, wantsWhole: false }, { ...list, view })
  assert.ok(reply instanceof Encoded)
  // proof: the text of a page of these views
  return JSON.parse(reply.text) as { items: Shown[]; cursor: string | null; revision: number }
}

test('what was there throughout is in exactly one page, and the order holds, whatever changes in between', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed)
    const world = filledWorld(random)
    const newestFirst = seed % 2 === 0
    const throughout = new Set<string>([...world.port.in({})].map(({ id }) => id))
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const reply = await readPage(
        world,
        { limit: 1 + integerBelow(random, 7), cursor },
        { ...everything(world), newestFirst },
      )
      seen.push(...reply.items.map(({ id }) => id))
      cursor = reply.cursor ?? undefined
      for (let at = integerBelow(random, 6); at > 0; at--) {
        const one = randomChange(random)
        change(world, one)
        if (one.kind === 'port' && one.body === undefined) throughout.delete(one.id)
      }
    } while (cursor !== undefined)
    const inOrder = seen.toSorted((a, b) => (a < b ? -1 : 1))
    assert.deepEqual(seen, newestFirst ? inOrder.toReversed() : inOrder, `seed ${seed}`)
    assert.equal(new Set(seen).size, seen.length, `seed ${seed}: none twice`)
    for (const id of throughout) assert.ok(seen.includes(id), `seed ${seed}: ${id} is missing`)
  }
})

test('a page is full although most rows are not meant, and the last one says that it is', async () => {
  const world = new World(systemClock)
  change(world, ...Array.from({ length: 30 }, (_, n) => put('port', portRow(n + 1))))
  const where = (_world: WorldReader, row: PortRow): boolean => Number(row.name.slice(5)) % 10 === 0
  const first = await readPage(world, { limit: 2 }, { ...everything(world), where })
  assert.deepEqual(
    first.items.map(({ id }) => id),
    [portRow(10).id, portRow(20).id],
  )
  assert.equal(first.cursor, portRow(20).id)
  const last = await readPage(
    world,
    { limit: 1, cursor: portRow(20).id },
    { ...everything(world), where },
  )
  assert.equal(last.items.length, 1)
  assert.equal(last.cursor, null, 'no page follows that has nothing')
})

test('cursors that are none are refused, and a made up one is only a place in the order', async () => {
  const random = seededRandom(3)
  const world = filledWorld(random)
  for (const cursor of [
    '',
    'x',
    'null',
    '0',
    '%00',
    'ABC',
    ' ',
    '-1',
    '0'.repeat(35),
    '0'.repeat(37),
  ])
    await assert.rejects(
      readPage(world, { limit: 5, cursor }, everything(world)),
      (error) => isPlatformError(error, 'INVALID_INPUT') && error.details['field'] === 'cursor',
      JSON.stringify(cursor),
    )
  for (let at = 0; at < 200; at++) {
    const letters = Array.from({ length: 36 }, () => pick(random, '0123456789abcdef-'.split('')))
    const reply = await readPage(world, { limit: 5, cursor: letters.join('') }, everything(world))
    assert.ok(reply.items.every(({ id }) => id > letters.join('')))
  }
})

test('a whole list shows every object as it was at its revision, however much changes while it is read', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed)
    const world = filledWorld(random)
    const expected = (await readPage(world, { limit: 1_000 }, everything(world))).items
    const { revision } = world
    const list = await page(
      world,
      { query: { limit: 1 }, wantsWhole: true },
      { ...everything(world), view },
    )
    assert.ok(list instanceof WholeList)
    const found: unknown[] = []
    for (const { text } of list.items) {
      found.push(JSON.parse(text))
      for (let at = integerBelow(random, 8); at > 0; at--) change(world, randomChange(random))
    }
    list.close()
    assert.equal(list.revision, revision)
    assert.deepEqual(found, expected, `seed ${seed}`)
  }
})

test('a reader that is too slow for what changes meanwhile is told so, and nothing is kept for it any more', async () => {
  const world = new World(systemClock)
  change(world, put('port', portRow(1)), put('port', portRow(2)))
  const list = await page(
    world,
    { query: { limit: 1 }, wantsWhole: true },
    { ...everything(world), view },
  )
  assert.ok(list instanceof WholeList)
  const items = list.items[Symbol.iterator]()
  assert.equal(items.next().done, false)
  change(
    world,
    ...Array.from({ length: SNAPSHOT_ROWS_MAX + 1 }, (_, n) => put('network', networkRow(n + 1))),
  )
  assert.throws(
    () => items.next(),
    (error) => isPlatformError(error, 'RESYNC'),
  )
})
