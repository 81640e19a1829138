import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'

import type { OpenFlowClient } from './client.ts'
import { OpenFlowBundleError } from './bundle-transaction.ts'
import { connectOpenFlow } from './connect.ts'
import { OpenFlowClosedError } from './errors.ts'
import type { OpenFlowEvents } from './events.ts'
import { fieldSpec } from './fields.ts'
import type { Flow, FlowChange } from './flow.ts'
import { formatFlow } from './format.ts'
import { flowKey, flowsEqual } from './identity.ts'
import { SeededRandom, randomFlow } from './testing/random-flow.ts'
import { startTestSwitch, type TestSwitch } from './testing/switch.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'

/** How long a test waits for something that should happen at once; only a broken one waits that long. */
const PATIENCE_MS = 15_000
const EVERYTHING: FlowChange = { type: 'deleteByCookie', cookie: 0n, cookieMask: 0n }
const FRAME = Buffer.from(`0a00000000010a0000000002${'0806'}${'00'.repeat(46)}`, 'hex')

function add(flow: Flow): FlowChange {
  return { type: 'add', flow }
}

/** The next event of that kind. */
function nextEvent<K extends keyof OpenFlowEvents>(
  client: OpenFlowClient,
  event: K,
  isWanted: (value: OpenFlowEvents[K]) => boolean = () => true,
): Promise<OpenFlowEvents[K]> {
  const { promise, resolve, reject } = Promise.withResolvers<OpenFlowEvents[K]>()
  const timer = setTimeout(() => reject(new Error(`no ${event} came`)), PATIENCE_MS)
  const off = client.on(event, (value) => {
    if (!isWanted(value)) return
    clearTimeout(timer)
    off()
    resolve(value)
  })
  return promise
}

/** Distinct random flows by their key. */
function randomFlows(seed: number, count: number): ReadonlyMap<string, Flow> {
  const random = new SeededRandom(seed)
  const flows = new Map<string, Flow>()
  while (flows.size < count) {
    const flow = randomFlow(random)
    flows.set(flowKey(flow), flow)
  }
  return flows
}

async function assertHolds(
  client: OpenFlowClient,
  wanted: ReadonlyMap<string, Flow>,
): Promise<readonly Flow[]> {
  const { flows, foreign } = await client.dumpFlows()
  assert.deepEqual(foreign, [])
  assert.equal(flows.length, wanted.size)
  for (const { flow } of flows) {
    const composed = wanted.get(flowKey(flow))
    assert.ok(composed, `nobody composed ${formatFlow(flow)}`)
    assert.ok(flowsEqual(composed, flow), `${formatFlow(composed)} | ${formatFlow(flow)}`)
  }
  return flows.map(({ flow }) => flow)
}

/** One line of ovs-ofctl dump-flows, in the order and with the separators of formatFlow. */
function normalLine(line: string): string {
  const [head = '', actions = ''] = line.trim().split(/ ?actions=/)
  const words = head.split(/[, ]+/).filter((word) => word !== '')
  if (!words.some((word) => word.startsWith('table='))) words.push('table=0')
  if (!words.some((word) => word.startsWith('priority='))) words.push('priority=32768')
  return `${words.toSorted().join(',')} actions=${actions}`
}

/**
 * Open vSwitch prints a change of some bits of a field that cannot be masked with a mask, which ovs-ofctl then refuses to
 * read. We print loads instead, so such flows cannot be compared by text.
 */
function hasOneText(flow: Flow): boolean {
  return flow.actions.every((action) => {
    if (action.type !== 'setField' && action.type !== 'load') return true
    return fieldSpec(action.type === 'load' ? action.to.field : action.field)?.maskable === true
  })
}

for (const version of [VERSION_14, VERSION_15] as const) {
  const other: OpenFlowVersion = version === VERSION_14 ? VERSION_15 : VERSION_14

  suite(`A real switch, wire version ${version}`, () => {
    let ovs: TestSwitch
    let client: OpenFlowClient

    before(async () => {
      ovs = await startTestSwitch()
      client = await connectOpenFlow(ovs.socketPath, { versions: [version] })
    })
    after(async () => {
      client?.close()
      await ovs?.stop()
    })

    test('negotiates what was asked for', () => {
      assert.equal(client.version, version)
      assert.equal(client.features.tableCount, 254)
    })

    test('lists ports and their statistics', async () => {
      const ports = await client.portDescriptions()
      assert.deepEqual(ports.map(({ name }) => name).toSorted(), ['br0', 'p1', 'p2', 'p3'])
      assert.deepEqual(
        ports
          .filter(({ name }) => name.startsWith('p'))
          .map(({ port }) => port)
          .toSorted((a, b) => a - b),
        [1, 2, 3],
      )
      assert.equal((await client.portStats()).length, 4)
      assert.deepEqual(
        (await client.portStats({ port: 2 })).map(({ port }) => port),
        [2],
      )
    })

    test('1,000 random flows: composed, dumped in either version, deleted as dumped', async () => {
      const wanted = randomFlows(version * 1000, 1000)
      await client.applyBundle([EVERYTHING, ...[...wanted.values()].map(add)])
      await assertHolds(client, wanted)
      const second = await connectOpenFlow(ovs.socketPath, { versions: [other] })
      try {
        const dumped = await assertHolds(second, wanted)
        await second.applyBundle(
          dumped.map(({ table, priority, match }) => ({
            table,
            priority,
            match,
            type: 'deleteStrict',
          })),
        )
        assert.deepEqual((await client.dumpFlows()).flows, [])
      } finally {
        second.close()
      }
    })

    test('text of dumped flows is that of ovs-ofctl', async () => {
      const flows = [...randomFlows(version * 77, 400).values()].filter(hasOneText)
      await client.applyBundle([EVERYTHING, ...flows.map(add)])
      const name = version === VERSION_14 ? 'OpenFlow14' : 'OpenFlow15'
      const dump = await ovs.ofctlWith(['-O', name, '--no-stats', '--no-names'], 'dump-flows')
      const theirs = dump.split('\n').filter((line) => line.includes('actions='))
      const ours = (await client.dumpFlows()).flows.map(({ flow }) =>
        formatFlow(flow).replace(',actions=', ' actions='),
      )
      const expected = new Set(theirs.map(normalLine))
      // One by one: the difference of 300 long lines is no message.
      for (const line of ours.map(normalLine)) assert.ok(expected.delete(line), line)
      assert.deepEqual([...expected], [])
    })

    test('a bundle with one bad flow changes nothing', async () => {
      const kept: Flow = { table: 3, priority: 5, cookie: 1n, match: {}, actions: [] }
      await client.applyBundle([EVERYTHING, add(kept)])
      const good = Array.from({ length: 50 }, (_, index) => add({ ...kept, priority: 100 + index }))
      const bad = add({ ...kept, priority: 9, actions: [{ type: 'goto', table: 2 }] })
      await assert.rejects(client.applyBundle([EVERYTHING, ...good, bad, ...good]), (error) => {
        assert.ok(error instanceof OpenFlowBundleError)
        assert.deepEqual(
          error.failures.map(({ index }) => index),
          [51],
        )
        assert.match(error.message, /change 51 .*OFPBIC_BAD_TABLE_ID/)
        return true
      })
      const { flows } = await client.dumpFlows()
      assert.deepEqual(
        flows.map(({ flow }) => flow),
        [kept],
      )
    })

    test('dumps and deletes by cookie and table', async () => {
      const flows = Array.from({ length: 40 }, (_, index) => ({
        table: index % 2,
        priority: index,
        cookie: BigInt(index % 4) << 60n,
        match: {},
        actions: [],
      }))
      await client.applyBundle([EVERYTHING, ...flows.map(add)])
      const mask = 0xf000_0000_0000_0000n
      const count = async (filter: Parameters<OpenFlowClient['dumpFlows']>[0]): Promise<number> =>
        (await client.dumpFlows(filter)).flows.length
      assert.equal(await count({}), 40)
      assert.equal(await count({ table: 1 }), 20)
      assert.equal(await count({ cookie: 1n << 60n }), 10)
      assert.equal(await count({ cookie: (3n << 60n) | 77n, cookieMask: mask }), 10)
      await client.applyBundle([{ type: 'deleteByCookie', cookie: 3n << 60n, cookieMask: mask }])
      assert.equal(await count({}), 30)
      await client.applyBundle([{ type: 'deleteByCookie', cookie: 0n, cookieMask: mask, table: 1 }])
      assert.equal(await count({}), 30)
      await client.applyBundle([{ type: 'deleteByCookie', cookie: 0n, cookieMask: mask, table: 0 }])
      assert.equal(await count({}), 20)
    })

    test('a packet goes out, comes in with userdata, and goes on when resumed', async () => {
      const userdata = Uint8Array.of(1, 2, 3, 4, 5)
      const pausing: Flow = {
        table: 0,
        priority: 1,
        cookie: 0x77n,
        match: { inPort: 1 },
        actions: [
          { type: 'setField', field: 'reg3', value: 42 },
          { type: 'controller', userdata, pause: true },
          { type: 'resubmit', table: 9 },
        ],
      }
      const behind: Flow = {
        table: 9,
        priority: 1,
        cookie: 0x99n,
        match: { reg3: 42 },
        actions: [{ type: 'controller', userdata: Uint8Array.of(9) }],
      }
      await client.applyBundle([EVERYTHING, add(pausing), add(behind)])
      const first = nextEvent(client, 'packetIn')
      await ovs.receive('p1', FRAME)
      const packetIn = await first
      assert.deepEqual(Buffer.from(packetIn.packet), FRAME)
      assert.deepEqual(packetIn.userdata, userdata)
      assert.equal(packetIn.inPort, 1)
      assert.equal(packetIn.cookie, 0x77n)
      assert.equal(packetIn.metadata.reg3, 42)
      assert.ok(packetIn.continuation)
      const second = nextEvent(client, 'packetIn')
      client.resume(packetIn)
      const resumed = await second
      assert.deepEqual(
        [resumed.table, resumed.cookie, resumed.userdata],
        [9, 0x99n, Uint8Array.of(9)],
      )
      assert.equal(resumed.continuation, undefined)

      const third = nextEvent(client, 'packetIn')
      client.packetOut({ packet: FRAME, inPort: 1, actions: [{ type: 'resubmit', table: 0 }] })
      assert.deepEqual((await third).userdata, userdata)
    })

    test('a packet-out that the switch refuses is an error event', async () => {
      const error = nextEvent(client, 'error')
      client.packetOut({ packet: FRAME, actions: [{ type: 'setField', field: 'nwTtl', value: 1 }] })
      assert.match(String(await error), /OFPBAC_/)
    })

    test('a flow that goes is told, with what it counted', async () => {
      const going: Flow = {
        table: 2,
        priority: 7,
        cookie: 0xabcn,
        match: { inPort: 2, reg0: 5 },
        actions: [],
        sendFlowRemoved: true,
      }
      await client.applyBundle([EVERYTHING, add(going)])
      const deleted = nextEvent(client, 'flowRemoved', ({ cookie }) => cookie === 0xabcn)
      await client.applyBundle([{ type: 'deleteByCookie', cookie: 0xabcn, cookieMask: 0xfffn }])
      const event = await deleted
      assert.equal(event.reason, 'delete')
      assert.equal(flowKey(event), flowKey(going))

      await client.applyBundle([
        add({ ...going, table: 0, match: { inPort: 2 }, idleTimeoutSeconds: 1 }),
      ])
      const idle = nextEvent(client, 'flowRemoved', ({ reason }) => reason === 'idleTimeout')
      await ovs.receive('p2', FRAME)
      const timedOut = await idle
      assert.deepEqual([timedOut.table, timedOut.counters.packets], [0, 1n])
      assert.ok(timedOut.counters.durationMs >= 900)
    })

    test('a port that comes and goes is told', async () => {
      const came = nextEvent(client, 'portStatus', ({ reason }) => reason === 'add')
      await ovs.vsctl(
        'add-port',
        'br0',
        'p9',
        '--',
        'set',
        'interface',
        'p9',
        'type=dummy',
        'ofport_request=9',
      )
      assert.deepEqual([(await came).description.name, (await came).description.port], ['p9', 9])
      const went = nextEvent(client, 'portStatus', ({ reason }) => reason === 'delete')
      await ovs.vsctl('del-port', 'br0', 'p9')
      assert.equal((await went).description.name, 'p9')
    })

    test('flows of others are listed as foreign and can be replaced', async () => {
      await client.applyBundle([EVERYTHING])
      await ovs.ofctl(
        'add-flow',
        'table=1,priority=3,cookie=0x5,ip,actions=ct(commit),resubmit(,4)',
      )
      await ovs.ofctl(
        'add-flow',
        'table=1,priority=4,cookie=0x6,mpls,mpls_label=5,actions=output:1',
      )
      await ovs.ofctl('add-flow', 'table=1,priority=5,cookie=0x7,importance=9,actions=output:1')
      const { flows, foreign } = await client.dumpFlows()
      assert.deepEqual(flows, [])
      assert.deepEqual(
        foreign
          .toSorted((a, b) => a.priority - b.priority)
          .map(({ priority, match }) => [priority, match !== undefined]),
        [
          [3, true],
          [4, false],
          [5, true],
        ],
      )
      assert.match(foreign.map(({ reason }) => reason).join(), /nicira 35/)
      const mine: Flow = {
        table: 1,
        priority: 3,
        cookie: 8n,
        match: { ethType: 0x0800 },
        actions: [],
      }
      await client.applyBundle([add(mine)])
      assert.deepEqual(
        (await client.dumpFlows({ cookie: 8n })).flows.map(({ flow }) => flow),
        [mine],
      )
      assert.equal((await client.dumpFlows()).foreign.length, 2)
    })

    test('10,000 flows in one bundle, replaced and removed by the next', async () => {
      const flows = Array.from({ length: 10_000 }, (_, index) => ({
        table: 10,
        priority: 100,
        cookie: BigInt(index),
        match: { reg0: 5000, ethDst: BigInt(0x0a0000000000 + index) },
        actions: [
          { type: 'setField', field: 'tunId', value: 5000 } as const,
          { type: 'output', port: 3 } as const,
        ],
      }))
      await client.applyBundle([EVERYTHING, ...flows.map(add)])
      const wanted = new Map(flows.map((flow) => [flowKey(flow), flow]))
      await assertHolds(client, wanted)
      await client.applyBundle([EVERYTHING])
      assert.deepEqual((await client.dumpFlows()).flows, [])
    })
  })
}

suite('The life of a connection to a real switch', () => {
  test('both versions offered, the higher is used; the end of the switch is the end of the client', async () => {
    const ovs = await startTestSwitch({ portCount: 1 })
    try {
      const client = await connectOpenFlow(ovs.socketPath)
      assert.equal(client.version, VERSION_15)
      await ovs.vsctl('set', 'bridge', 'br0', 'protocols=OpenFlow14')
      const older = await connectOpenFlow(ovs.socketPath)
      assert.equal(older.version, VERSION_14)
      await ovs.stop()
      assert.ok((await client.closed) instanceof OpenFlowClosedError)
      assert.ok((await older.closed) instanceof OpenFlowClosedError)
      await assert.rejects(client.barrier(), OpenFlowClosedError)
      await assert.rejects(
        connectOpenFlow(ovs.socketPath),
        (error) => error instanceof OpenFlowClosedError && /ENOENT/.test(String(error.cause)),
      )
    } finally {
      await ovs.stop()
    }
  })
})
