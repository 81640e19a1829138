import assert from 'node:assert/strict'
import { createConnection } from 'node:net'
import { test, type TestContext } from 'node:test'

import {
  callUnixctl,
  connectOvsdb,
  deleteRows,
  everyRow,
  insert,
  JsonRpcPeer,
  mutate,
  OvsdbClient,
  OvsdbError,
  refer,
  referNamed,
  select,
  theRow,
  update,
  wait,
  type Operation,
  type OvsdbConnection,
  type Replica,
  type Uuid,
} from './index.ts'
import { RealServer, type RealServerOptions } from './testing/ovsdb-server.ts'
import { below, seededRandom } from './testing/random.ts'
import { SCHEMA_REPLY } from './testing/schema.ts'

const TABLES = {
  Thing: ['name', 'size', 'ratio', 'on', 'speed', 'tags', 'parts', 'owner', 'labels', 'queues'],
  Part: ['name'],
}

async function serve(t: TestContext, options?: RealServerOptions): Promise<RealServer> {
  const server = await RealServer.start(SCHEMA_REPLY, options)
  t.after(() => server.remove())
  return server
}

async function connect(t: TestContext, server: RealServer): Promise<OvsdbConnection> {
  const connection = connectOvsdb({
    path: server.socket,
    database: 'Test',
    tables: TABLES,
    random: seededRandom(3),
    backoffMs: { first: 10, last: 200 },
  })
  t.after(() => connection.close())
  await connection.whenReady(10_000)
  return connection
}

function newThing(name: string): Operation[] {
  return [
    insert('Part', { name: `part of ${name}` }, 'part'),
    insert('Thing', { name, owner: referNamed('part') }, 'thing'),
  ]
}

function contents(replica: Replica): unknown {
  return Object.keys(TABLES).map((table) =>
    [...replica.table(table)].sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}

/** A few valid changes of every kind of column, chosen by the seed. */
function someChange(random: () => number, things: readonly Uuid[]): Operation[] {
  const thing = things[below(random, things.length)]
  if (thing === undefined || random() < 0.2) return newThing(`n${below(random, 1_000)}`)
  const where = theRow(thing)
  const key = `k${below(random, 4)}`
  switch (below(random, 7)) {
    case 0:
      return [deleteRows('Thing', where)]
    case 1:
      return [update('Thing', where, { size: below(random, 9), on: random() < 0.5, ratio: 0.25 })]
    case 2:
      return [update('Thing', where, { speed: random() < 0.5 ? [] : [below(random, 9)] })]
    case 3:
      return [mutate('Thing', where, [['tags', random() < 0.5 ? 'insert' : 'delete', [key]]])]
    case 4:
      return [
        mutate('Thing', where, [
          ['labels', 'delete', [key]],
          ['labels', 'insert', new Map([[key, String(below(random, 3))]])],
        ]),
      ]
    case 5:
      return [
        insert('Part', { name: key }, 'new_part'),
        mutate('Thing', where, [['parts', 'insert', [referNamed('new_part')]]]),
        update('Thing', where, { queues: new Map([[1, referNamed('new_part')]]) }),
      ]
    default:
      return [update('Thing', where, { parts: [], queues: new Map() })]
  }
}

test('values of every kind come back through the replica as they were written', async (t) => {
  const connection = await connect(t, await serve(t))
  const [part, thing] = await connection.transact([
    insert('Part', { name: 'é😀"\\' }, 'p'),
    insert('Thing', {
      name: 'set',
      size: 2 ** 53 - 1,
      ratio: 0.1,
      on: true,
      speed: [7],
      tags: new Set(['uuid', 'map', '']),
      owner: referNamed('p'),
      parts: [referNamed('p')],
      labels: new Map([['a', 'b']]),
      queues: new Map([[3, referNamed('p')]]),
    }),
  ])
  assert.ok(part?.uuid && thing?.uuid)
  // Already there: the server sends our own update before the reply.
  assert.deepEqual(connection.replica.table('Part').get(part.uuid), { name: 'é😀"\\' })
  assert.deepEqual(connection.replica.table('Thing').get(thing.uuid), {
    name: 'set',
    size: 2 ** 53 - 1,
    ratio: 0.1,
    on: true,
    speed: new Set([7]),
    tags: new Set(['uuid', 'map', '']),
    owner: part.uuid,
    parts: new Set([part.uuid]),
    labels: new Map([['a', 'b']]),
    queues: new Map([[3, part.uuid]]),
  })
  const [selected] = await connection.transact([
    select('Thing', [['owner', '==', refer(part.uuid)]], ['name']),
  ])
  assert.deepEqual(selected?.rows, [{ name: 'set' }])
})

test('a failed operation commits nothing and names its place', async (t) => {
  const connection = await connect(t, await serve(t))
  const expected = { columns: ['name'], until: '==', rows: [{ name: 'x' }], timeoutMs: 0 } as const
  await assert.rejects(connection.transact([...newThing('a'), wait('Thing', everyRow, expected)]), {
    kind: 'transaction',
    error: 'timed out',
    operationIndex: 2,
  })
  await assert.rejects(connection.transact([insert('Thing', { nonsense: 1 })]), OvsdbError)
  await assert.rejects(
    // Found out at the commit only: 'owner' must refer to a row.
    connection.transact([insert('Thing', { name: 'without owner' })]),
    { kind: 'transaction', error: 'referential integrity violation', operationIndex: 1 },
  )
  assert.equal(connection.replica.table('Thing').size, 0)
})

test('after thousands of random changes a followed replica equals a fresh one', async (t) => {
  const server = await serve(t)
  const follower = await connect(t, server)
  const writer = await connect(t, server)
  const random = seededRandom(21)
  for (let round = 0; round < 1_000; round += 1) {
    const things = [...writer.replica.table('Thing').keys()]
    await writer.transact(someChange(random, things))
  }
  const fresh = await connect(t, server)
  await follower.transact([select('Thing', everyRow, ['name'])])
  assert.deepEqual(contents(follower.replica), contents(fresh.replica), 'seed 21')
})

for (const clustered of [false, true]) {
  const kind = clustered ? 'a cluster of one' : 'a standalone database'
  test(`after kill -9 of the server of ${kind}, replicas come back equal to a fresh one`, async (t) => {
    const server = await serve(t, { clustered })
    const follower = await connect(t, server)
    const writer = await connect(t, server)
    const random = seededRandom(31)
    for (let crash = 0; crash < 3; crash += 1) {
      for (let round = 0; round < 40; round += 1) {
        await writer.transact(someChange(random, [...writer.replica.table('Thing').keys()]))
      }
      const before = contents(writer.replica)
      await server.kill()
      await server.start()
      await Promise.all([writer.whenReady(10_000), follower.whenReady(10_000)])
      const fresh = await connect(t, server)
      assert.deepEqual(contents(fresh.replica), before, 'what was acknowledged is there')
      assert.deepEqual(contents(writer.replica), before)
      assert.deepEqual(contents(follower.replica), before)
      fresh.close()
    }
  })
}

test('a server that knows the past sends only what came after it', async (t) => {
  const server = await serve(t, { clustered: true })
  const writer = await connect(t, server)
  await writer.transact(newThing('one'))
  const since = writer.replica.lastTransaction
  await writer.transact(newThing('two'))
  const peer = new JsonRpcPeer(createConnection(server.socket))
  t.after(() => peer.close())
  const reply = await peer.request('monitor_cond_since', [
    'Test',
    'm',
    { Thing: [{ columns: ['name'] }] },
    since,
  ])
  assert.ok(Array.isArray(reply))
  const [found, last, updates]: readonly unknown[] = reply
  assert.equal(found, true)
  assert.equal(last, writer.replica.lastTransaction)
  assert.deepEqual(
    Object.values(Object.values(updates ?? {})[0] ?? {}),
    [{ insert: { name: 'two' } }],
    'only the second thing',
  )
})

test('a transaction under way when the server dies is lost or done, and the call settles', async (t) => {
  const server = await serve(t)
  const writer = await connect(t, server)
  const calls = Array.from({ length: 200 }, (_, n) => writer.transact(newThing(`n${n}`)))
  const settled = Promise.allSettled(calls)
  await calls[0]
  await server.kill()
  const outcomes = await settled
  const done = outcomes.filter((outcome) => outcome.status === 'fulfilled').length
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue
    const error: unknown = outcome.reason
    assert.ok(error instanceof OvsdbError && error.kind === 'lost')
  }
  await assert.rejects(writer.transact(newThing('x')), { kind: 'unavailable' })
  await server.start()
  await writer.whenReady(10_000)
  assert.ok(writer.replica.table('Thing').size >= done, 'every acknowledged one is there')
})

test('asking for what does not exist is a typed error and the connection goes on', async (t) => {
  const server = await serve(t)
  const client = new OvsdbClient(createConnection(server.socket))
  t.after(() => client.close())
  assert.ok((await client.listDatabases()).includes('Test'))
  await assert.rejects(client.getSchema('Nope'), { kind: 'rpc' })
  await assert.rejects(client.transact('Nope', []), { kind: 'rpc' })
  await client.echo()
  const refused = new OvsdbClient(createConnection(`${server.socket}-none`))
  await assert.rejects(refused.echo(), { kind: 'lost' })
})

test('a control command is answered with its text, a bad one and a missing daemon with typed errors', async (t) => {
  const { controlSocket } = await serve(t)
  assert.match(await callUnixctl(controlSocket, 'version', []), /Open vSwitch/)
  await assert.rejects(callUnixctl(controlSocket, 'no-such', ['x']), { kind: 'rpc' })
  await assert.rejects(callUnixctl(`${controlSocket}-none`, 'version', []), { kind: 'lost' })
})
