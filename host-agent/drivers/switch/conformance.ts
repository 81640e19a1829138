import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'

import { flowKey, flowsEqual, type Flow, type FlowChange } from '@nubo/wire-openflow'

import {
  SwitchError,
  type PortChange,
  type SwitchDriver,
  type SwitchInterface,
  type SwitchProblem,
} from './switch-driver.ts'

/** A driver under test, and the means to do to its host what happens to hosts. */
export interface SwitchRig {
  readonly driver: SwitchDriver
  /** A second driver on the same switch: a later life of the agent. */
  readonly again: () => SwitchDriver
  readonly makeDevice: (name: string) => Promise<void>
  readonly removeDevice: (name: string) => Promise<void>
  /** Kills the switch; it stays down until `startSwitch`. */
  readonly killSwitch: () => Promise<void>
  readonly startSwitch: () => Promise<void>
  readonly tunnelOfport: number
  /** Ends everything, also drivers made by `again`. */
  readonly dispose: () => Promise<void>
}

const PLUGGED_DEADLINE_MS = 10_000

function port(number: number): SwitchInterface {
  return { portId: `port-${number}`, name: `ve${number}`, ofport: 100 + number }
}

function flow(priority: number, parts: Partial<Flow> = {}): Flow {
  const output = [{ type: 'output', port: 7 }] as const
  return { table: 10, priority, cookie: 1n, match: { inPort: 5 }, actions: output, ...parts }
}

function add(flowToAdd: Flow): FlowChange {
  return { type: 'add', flow: flowToAdd }
}

function hasProblem(problem: SwitchProblem): (error: unknown) => boolean {
  return (error) => error instanceof SwitchError && error.problem === problem
}

function assertSameFlows(found: readonly Flow[], wanted: readonly Flow[]): void {
  assert.deepEqual(found.map(flowKey).sort(), wanted.map(flowKey).sort())
  const byKey = new Map(found.map((item) => [flowKey(item), item]))
  for (const item of wanted) {
    const same = byKey.get(flowKey(item))
    assert.ok(same !== undefined && flowsEqual(same, item), `flow ${flowKey(item)}`)
  }
}

/** Resolves with the first change of the port that fits; listening begins at the call. */
function nextChange(
  driver: SwitchDriver,
  portId: string,
  fits: (change: PortChange) => boolean,
): Promise<PortChange> {
  return new Promise((resolve) => {
    const stop = driver.events.onPortChange((change) => {
      if (change.portId !== portId || !fits(change)) return
      stop()
      resolve(change)
    })
  })
}

/**
 * What every `SwitchDriver` does, as tests. `makeRig` gives a fresh switch each time.
 * A new driver calls this from its test file and is done when all pass.
 */
export function switchDriverConformance(name: string, makeRig: () => Promise<SwitchRig>): void {
  const check = (what: string, body: (rig: SwitchRig, t: TestContext) => Promise<void>): void => {
    void test(`${name}: ${what}`, { timeout: 60_000 }, async (t) => {
      const rig = await makeRig()
      t.after(() => rig.dispose())
      await body(rig, t)
    })
  }
  describePreparation(check)
  describeAttaching(check)
  describePortsTogether(check)
  describeFlows(check)
  describeFaults(check)
}

type Check = (what: string, body: (rig: SwitchRig, t: TestContext) => Promise<void>) => void

function describePreparation(check: Check): void {
  check(
    'preparing says where the tunnel ends, and may be repeated',
    async ({ driver, tunnelOfport }) => {
      const [first, second] = await Promise.all([driver.prepare(), driver.prepare()])
      assert.deepEqual(first, second)
      assert.deepEqual(await driver.prepare(), first)
      assert.equal(first.tunnelOfport, tunnelOfport)
      assert.match(first.vtep.mac, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/)
      assert.match(driver.version(), /\d/)
    },
  )

  check('ready is told once when preparation is done', async ({ driver }) => {
    let told = 0
    driver.events.onReady(() => (told += 1))
    await driver.prepare()
    await driver.prepare()
    assert.equal(told, 1)
  })

  check('neighbours are taken, and malformed ones refused', async ({ driver }) => {
    await driver.prepare()
    await driver.setNeighbour('192.168.77.9', '0a:6e:c0:a8:4d:09')
    await driver.setNeighbour('192.168.77.9', '0a:6e:c0:a8:4d:09')
    const bad: readonly [string, string][] = [
      ['192.168.77', '0a:6e:c0:a8:4d:09'],
      ['192.168.77.9', 'x'],
      ['192.168.77.9', '01:00:5e:00:00:01'],
    ]
    for (const [vtep, mac] of bad) {
      await assert.rejects(driver.setNeighbour(vtep, mac), hasProblem('invalid'))
    }
  })

  check('a closed driver refuses everything, and closing again is nothing', async ({ driver }) => {
    await driver.prepare()
    await driver.close()
    await driver.close()
    await assert.rejects(driver.prepare(), hasProblem('closed'))
    await assert.rejects(driver.attach(port(1)), hasProblem('closed'))
    await assert.rejects(driver.detach('port-1'), hasProblem('closed'))
    await assert.rejects(driver.dumpFlows(), hasProblem('closed'))
    await assert.rejects(driver.applyFlows([add(flow(1))]), hasProblem('closed'))
    await assert.rejects(driver.setNeighbour('10.0.0.1', '0a:00:00:00:00:01'), hasProblem('closed'))
  })
}

function describeAttaching(check: Check): void {
  check('an attached port is plugged, and attaching it again changes nothing', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    await rig.makeDevice('ve1')
    const changes: PortChange[] = []
    await driver.attach(port(1))
    assert.equal(driver.attached().get('port-1')?.ofport, 101, 'shown when attach resolves')
    await driver.plugged('port-1', PLUGGED_DEADLINE_MS)
    driver.events.onPortChange((change) => changes.push(change))
    await driver.attach(port(1))
    assert.deepEqual(driver.attached().get('port-1'), { ...port(1), state: { at: 'plugged' } })
    assert.deepEqual(changes, [])
  })

  check('a later life of the agent finds the ports of the earlier one', async (rig) => {
    await rig.driver.prepare()
    await rig.makeDevice('ve1')
    await rig.driver.attach(port(1))
    await rig.driver.plugged('port-1', PLUGGED_DEADLINE_MS)
    await rig.driver.applyFlows([add(flow(1))])
    await rig.driver.close()
    const later = rig.again()
    let restarts = 0
    later.events.onRestart(() => (restarts += 1))
    await later.prepare()
    assert.deepEqual([...later.attached().values()], [{ ...port(1), state: { at: 'plugged' } }])
    assertSameFlows(await later.dumpFlows(), [flow(1)])
    assert.equal(restarts, 0)
  })

  check('attaching with another name or ofport moves the port', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    await rig.makeDevice('ve1')
    await rig.makeDevice('ve2')
    await driver.attach(port(1))
    const moved = { portId: 'port-1', name: 've2', ofport: 300 }
    await driver.attach(moved)
    await driver.plugged('port-1', PLUGGED_DEADLINE_MS)
    await driver.attach({ ...moved, ofport: 301 })
    await driver.plugged('port-1', PLUGGED_DEADLINE_MS)
    assert.deepEqual(
      [...driver.attached().values()],
      [{ ...moved, ofport: 301, state: { at: 'plugged' } }],
    )
  })

  check('malformed interfaces are refused', async ({ driver }) => {
    await driver.prepare()
    const bad: readonly Partial<SwitchInterface>[] = [
      { portId: '' },
      { portId: 'x'.repeat(65) },
      { name: '' },
      { name: 'a'.repeat(16) },
      { name: 'a b' },
      { name: '../x' },
      { name: '..' },
      { ofport: 0 },
      { ofport: 65_280 },
      { ofport: 1.5 },
    ]
    for (const parts of bad) {
      await assert.rejects(driver.attach({ ...port(1), ...parts }), hasProblem('invalid'))
    }
    assert.equal(driver.attached().size, 0)
  })

  check('detaching takes the port away, and may be repeated', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    await rig.makeDevice('ve1')
    await driver.attach(port(1))
    const gone = nextChange(driver, 'port-1', (change) => change.new === undefined)
    await driver.detach('port-1')
    assert.equal(driver.attached().size, 0)
    assert.equal((await gone).old?.name, 've1')
    await driver.detach('port-1')
    await driver.detach('never-attached')
    await assert.rejects(driver.plugged('port-1', 100), hasProblem('not_attached'))
    await driver.attach(port(1))
    await driver.plugged('port-1', PLUGGED_DEADLINE_MS)
  })
}

function describePortsTogether(check: Check): void {
  check('a taken name or ofport is refused and nothing changes', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    await rig.makeDevice('ve1')
    await driver.attach(port(1))
    await assert.rejects(driver.attach({ ...port(2), ofport: 101 }), hasProblem('ofport_taken'))
    await assert.rejects(
      driver.attach({ ...port(2), ofport: rig.tunnelOfport }),
      hasProblem('ofport_taken'),
    )
    await assert.rejects(driver.attach({ ...port(2), name: 've1' }), hasProblem('name_taken'))
    assert.deepEqual([...driver.attached().keys()], ['port-1'])
  })

  check('of two that want one ofport in the same moment, one gets it', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    const outcomes = await Promise.allSettled([
      driver.attach({ ...port(1), ofport: 500 }),
      driver.attach({ ...port(2), ofport: 500 }),
    ])
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    assert.equal(driver.attached().size, 1)
  })

  check('calls for one port keep their order', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    await rig.makeDevice('ve1')
    await Promise.all([
      driver.attach(port(1)),
      driver.detach('port-1'),
      driver.attach({ ...port(1), ofport: 400 }),
    ])
    assert.equal(driver.attached().get('port-1')?.ofport, 400)
  })

  check('many ports at once, with flows in parallel', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    const ports = Array.from({ length: 20 }, (_, index) => port(index + 1))
    await Promise.all(ports.map(({ name }) => rig.makeDevice(name)))
    await Promise.all(
      ports.flatMap((wanted, index) => [
        driver.attach(wanted),
        driver.applyFlows([add(flow(index + 1, { match: { inPort: wanted.ofport } }))]),
      ]),
    )
    await Promise.all(ports.map(({ portId }) => driver.plugged(portId, PLUGGED_DEADLINE_MS)))
    assert.equal(driver.attached().size, 20)
    assert.equal((await driver.dumpFlows()).length, 20)
  })
}

function describeFlows(check: Check): void {
  check('a bundle adds, replaces and deletes', async ({ driver }) => {
    await driver.prepare()
    assert.deepEqual(await driver.dumpFlows(), [])
    const kept = flow(1)
    const replaced = flow(2, { actions: [{ type: 'output', port: 9 }], cookie: 0x1_0000n })
    await driver.applyFlows([
      add(kept),
      add(flow(2)),
      add(flow(3)),
      add(flow(4, { cookie: 0x2_0001n })),
      add(flow(5, { cookie: 0x2_0002n, table: 11 })),
      add(flow(6, { cookie: 0x3_0000n })),
    ])
    await driver.applyFlows([
      add(replaced),
      { type: 'deleteStrict', table: 10, priority: 3, match: { inPort: 5 } },
      { type: 'deleteStrict', table: 10, priority: 99, match: { inPort: 5 } },
      { type: 'deleteByCookie', cookie: 0x2_0000n, cookieMask: 0xffff_0000n },
      { type: 'deleteByCookie', cookie: 0x3_0000n, cookieMask: 0xffff_0000n, table: 11 },
    ])
    assertSameFlows(await driver.dumpFlows(), [kept, replaced, flow(6, { cookie: 0x3_0000n })])
    await driver.applyFlows([])
    await driver.applyFlows([{ type: 'deleteByCookie', cookie: 0n, cookieMask: 0n }])
    assert.deepEqual(await driver.dumpFlows(), [])
  })

  check('the flows of a tunnel and of a router come back as they were sent', async ({ driver }) => {
    await driver.prepare()
    const flows: readonly Flow[] = [
      flow(10, {
        table: 0,
        match: { inPort: 65_000, tunId: 5_000 },
        actions: [
          { type: 'load', value: 5_000, to: { field: 'reg0', from: 0, to: 23 } },
          { type: 'goto', table: 20 },
        ],
      }),
      flow(20, {
        table: 20,
        cookie: 0xffff_0000_1234n,
        match: { reg0: 5_000, ethType: 0x0800, ipv4Dst: '10.0.1.0/24' },
        actions: [
          { type: 'setField', field: 'ethDst', value: '0a:00:00:00:00:11' },
          { type: 'decTtl' },
          { type: 'setField', field: 'tunId', value: 5_000 },
          { type: 'setField', field: 'tunDst', value: '192.168.77.2' },
          { type: 'output', port: 65_000 },
        ],
      }),
      flow(0, { table: 20, match: {}, actions: [] }),
    ]
    await driver.applyFlows(flows.map(add))
    assertSameFlows(await driver.dumpFlows(), flows)
  })

  check('a bundle with one bad flow changes nothing', async ({ driver }) => {
    await driver.prepare()
    await driver.applyFlows([add(flow(1))])
    const bad = flow(3, { actions: [{ type: 'goto', table: 5 }] })
    await assert.rejects(
      driver.applyFlows([
        add(flow(2)),
        { type: 'deleteByCookie', cookie: 0n, cookieMask: 0n },
        add(bad),
      ]),
      hasProblem('flows_refused'),
    )
    assertSameFlows(await driver.dumpFlows(), [flow(1)])
    await driver.applyFlows([add(flow(2))])
    assertSameFlows(await driver.dumpFlows(), [flow(1), flow(2)])
  })
}

function describeFaults(check: Check): void {
  check('a missing device is told as failed, and heals when it appears', async (rig) => {
    const { driver } = rig
    await driver.prepare()
    await rig.removeDevice('ve1')
    await driver.attach(port(1))
    await assert.rejects(driver.plugged('port-1', PLUGGED_DEADLINE_MS), hasProblem('device_failed'))
    const state = driver.attached().get('port-1')?.state
    assert.equal(state?.at, 'failed')
    const healed = nextChange(driver, 'port-1', (change) => change.new?.state.at === 'plugged')
    await rig.makeDevice('ve1')
    await healed
    const failed = nextChange(driver, 'port-1', (change) => change.new?.state.at === 'failed')
    await rig.removeDevice('ve1')
    await failed
    const again = nextChange(driver, 'port-1', (change) => change.new?.state.at === 'plugged')
    await rig.makeDevice('ve1')
    await again
  })

  check(
    'a killed switch is noticed; when it returns, ports are there and flows are not',
    async (rig) => {
      const { driver } = rig
      await driver.prepare()
      await rig.makeDevice('ve1')
      await driver.attach(port(1))
      await driver.plugged('port-1', PLUGGED_DEADLINE_MS)
      await driver.applyFlows([add(flow(1))])
      const heard: string[] = []
      const ready = new Promise<void>((resolve) => {
        driver.events.onReady(() => {
          heard.push('ready')
          resolve()
        })
      })
      const lost = new Promise<void>((resolve) => {
        driver.events.onDisconnected(() => {
          heard.push('disconnected')
          resolve()
        })
      })
      const replayed = new Promise<void>((resolve, reject) => {
        driver.events.onRestart(() => {
          heard.push('restart')
          driver.applyFlows([add(flow(1))]).then(resolve, reject)
        })
      })
      await rig.killSwitch()
      await lost
      await assert.rejects(driver.applyFlows([add(flow(2))]), hasProblem('unreachable'))
      await assert.rejects(driver.dumpFlows(), hasProblem('unreachable'))
      await rig.startSwitch()
      await Promise.all([ready, replayed])
      assert.deepEqual(heard, ['disconnected', 'restart', 'ready'])
      assertSameFlows(await driver.dumpFlows(), [flow(1)])
      await driver.plugged('port-1', PLUGGED_DEADLINE_MS)
      await driver.prepare()
    },
  )
}
