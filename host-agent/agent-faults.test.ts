import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { makeRig, runningRig, sandboxes } from './testing/agent-rig.ts'
import {
  testContainer,
  testId,
  testImage,
  testPort,
  testSetWithPort,
  testUpdate,
} from './testing/wanted.ts'
import { MemoryDisk, type DiskChange } from './wanted/disk.ts'

describe('without servers', () => {
  test('everything goes on: a crashed container is restarted, and nothing is made anew when they return', async () => {
    const rig = await runningRig()
    const before = rig.host.setHost.sets.get(testId('set', 1))
    rig.servers.down.add('s1:7443').add('s2:7443')
    rig.servers.last.close()
    await rig.clock.advance(20_000)
    rig.host.setDriver.endContainer(testId('set', 1), 'main', { exitCode: 1 })
    await rig.clock.advance(40_000)
    assert.equal(before?.containers.get('main')?.found.state, 'running')
    rig.servers.down.clear()
    await rig.clock.advance(10_000)
    assert.equal(rig.servers.last.of('found')[0]?.instances[0]?.state, 'running')
    assert.equal(rig.host.setHost.sets.get(testId('set', 1)), before)
    await rig.host.stop()
  })

  test('a restarted agent adopts what runs, from disk', async () => {
    const rig = await runningRig()
    const before = rig.host.setHost.sets.get(testId('set', 1))
    const flows = rig.host.switchHardware.flows.flows
    rig.servers.down.add('s1:7443').add('s2:7443')
    await rig.host.crash()
    rig.host.start()
    await rig.clock.advance(20_000)
    assert.equal(rig.host.agent?.found(testId('set', 1))?.state, 'running')
    assert.equal(rig.host.setHost.sets.get(testId('set', 1)), before)
    assert.deepEqual(rig.host.switchHardware.flows.flows, flows)
    // It goes on counting, too.
    rig.host.setDriver.endContainer(testId('set', 1), 'main', { exitCode: 1 })
    await rig.clock.advance(5_000)
    await rig.host.crash()
    rig.host.start()
    await rig.clock.advance(1_000)
    assert.equal(rig.host.agent?.found(testId('set', 1))?.containers[0]?.restarts, 1)
    await rig.host.stop()
  })

  test('a rebooted host starts its local sets at once, and others only when a server confirms them', async () => {
    const rig = await runningRig()
    rig.want(testSetWithPort(2, { recovery: 'elsewhere' }))
    await rig.untilState('running', 2)
    rig.servers.down.add('s1:7443').add('s2:7443')
    await rig.host.powerOff()
    rig.host.powerOn()
    await rig.clock.advance(5_000)
    assert.equal(rig.host.agent?.found(testId('set', 1))?.state, 'running')
    assert.equal(rig.host.agent?.found(testId('set', 2))?.state, 'pending')
    assert.equal(rig.host.agent?.found(testId('set', 2))?.reason?.code, 'NOT_ALLOWED_NOW')
    rig.servers.down.clear()
    await rig.clock.advanceUntil(() => rig.servers.accepted.length === 2)
    await rig.untilState('running', 2)
    assert.equal(rig.servers.last.of('hello')[0]?.bootId, 'boot-2')
    await rig.host.stop()
  })

  test('the end of the lease ends `elsewhere` sets and no others; a confirmation brings them back', async () => {
    const rig = await runningRig()
    rig.want(testSetWithPort(2, { recovery: 'elsewhere' }))
    await rig.untilState('running', 2)
    rig.servers.down.add('s1:7443').add('s2:7443')
    rig.servers.last.close()
    const stateOf = (number: number): string | undefined =>
      rig.host.setHost.sets.get(testId('set', number))?.containers.get('main')?.found.state
    await rig.clock.advance(25_000)
    assert.equal(stateOf(2), 'running')
    await rig.clock.advance(10_000)
    assert.equal(stateOf(2), 'exited')
    assert.equal(stateOf(1), 'running')
    rig.servers.down.clear()
    await rig.untilState('running', 2)
    assert.equal(rig.known(2)?.containers[0]?.restarts, 0)
    await rig.host.stop()
  })

  test('a set that is elsewhere by now does not come back with the connection', async () => {
    const rig = await runningRig({}, { recovery: 'elsewhere' })
    rig.servers.down.add('s1:7443').add('s2:7443')
    rig.servers.last.close()
    await rig.clock.advance(40_000)
    rig.servers.onHello = (agent) =>
      agent.want(
        testUpdate(99, [testPort(1, { on: 'remote', vtep: '172.16.0.9' })], { full: true }),
      )
    rig.servers.down.clear()
    await rig.clock.advance(10_000)
    assert.deepEqual(sandboxes(rig), [])
    assert.equal(rig.known(), undefined)
    await rig.host.stop()
  })
})

describe('engines', () => {
  test('that are away when the agent starts are waited for, with a reason', async () => {
    const rig = makeRig()
    rig.host.setHost.takeDown()
    await rig.clock.advance(10_000)
    rig.want(testSetWithPort(1))
    await rig.clock.advanceUntil(() => rig.known()?.reason?.code === 'ENGINE_UNAVAILABLE')
    assert.equal(rig.known()?.state, 'pending')
    rig.host.setHost.bringUp()
    await rig.untilState('running')
    await rig.host.stop()
  })

  test('a container engine that goes and comes leaves sets running, and is told', async () => {
    const rig = await runningRig()
    const before = rig.host.setHost.sets.get(testId('set', 1))
    rig.host.setHost.takeDown()
    await rig.clock.advanceUntil(() => rig.known()?.reason?.code === 'ENGINE_UNAVAILABLE')
    assert.equal(rig.known()?.state, 'running')
    rig.want(testSetWithPort(2))
    await rig.untilState('pending', 2)
    rig.host.setHost.bringUp()
    await rig.untilState('running', 2)
    await rig.clock.advanceUntil(() => rig.known()?.reason === null)
    assert.equal(rig.host.setHost.sets.get(testId('set', 1)), before)
    await rig.host.stop()
  })

  test('trouble that comes with the very answer that ended the last one is not the end of all care', async () => {
    for (let turns = 0; turns < 12; turns++) {
      const rig = await runningRig()
      const { setDriver, setHost } = rig.host
      const list = setDriver.list.bind(setDriver)
      const tellLost = (left: number): void => {
        if (left > 0) return queueMicrotask(() => tellLost(left - 1))
        for (const listener of setHost.listeners)
          listener({ type: 'lost', setId: null, reason: 'lost again' })
      }
      let isArmed = true
      setDriver.list = async () => {
        const found = await list()
        if (isArmed) tellLost(turns)
        isArmed = false
        return found
      }
      for (const listener of setHost.listeners)
        listener({ type: 'lost', setId: null, reason: 'lost' })
      await rig.clock.advance(30_000)
      assert.equal(rig.known()?.reason, null, `${turns} turns`)
      await rig.host.stop()
    }
  })

  test('a switch that comes back empty gets its flows again', async () => {
    const rig = await runningRig()
    const flows = rig.host.switchHardware.flows.flows.length
    rig.host.switchHardware.restart()
    await rig.clock.advance(1_000)
    assert.equal(rig.host.switchHardware.flows.flows.length, flows)
    assert.equal(rig.known()?.state, 'running')
    await rig.host.stop()
  })

  test('a switch that is away keeps a new set from running, and says why', async () => {
    const rig = makeRig()
    await rig.clock.advance(10)
    rig.host.switchHardware.disconnect()
    rig.want(testSetWithPort(1))
    await rig.clock.advanceUntil(() => rig.known()?.reason?.code === 'ENGINE_UNAVAILABLE')
    assert.notEqual(rig.known()?.state, 'running')
    rig.host.switchHardware.reconnect()
    await rig.untilState('running')
    await rig.host.stop()
  })

  test('what no event told is seen by the full pass', async () => {
    const rig = await runningRig()
    rig.host.setHost.listeners.clear()
    rig.host.setDriver.endContainer(testId('set', 1), 'main', { exitCode: 1 })
    await rig.clock.advance(15_000)
    assert.equal(rig.known()?.containers[0]?.restarts, 1)
    await rig.host.stop()
  })
})

describe('tenants', () => {
  const other = { projectId: testId('host', 8) }
  const healthCheck = {
    command: ['true'],
    intervalMs: 1_000,
    timeoutMs: 600_000,
    failuresMax: 3,
    startPeriodMs: 0,
  }

  test('whose health checks hang keep nobody else’s set from being healthy', async () => {
    const hanging = new Set<string | null>()
    const rig = makeRig({
      sets: {
        before: (call, setId) =>
          call === 'exec' && hanging.has(setId) ? new Promise(() => undefined) : undefined,
      },
    })
    await rig.clock.advance(10)
    const containers = [testContainer({ healthCheck })]
    for (let number = 1; number <= 20; number++) {
      hanging.add(testId('set', number))
      rig.want(testSetWithPort(number, { containers }))
    }
    await rig.clock.advance(5_000)
    rig.want(testSetWithPort(21, { ...other, containers }))
    await rig.clock.advance(5_000)
    assert.equal(rig.known(21)?.state, 'running')
    assert.equal(rig.known(20)?.state, 'starting')
    await rig.host.stop()
  })

  test('whose containers take their time to stop keep nobody else’s from being stopped and removed', async () => {
    const hanging = new Set<string | null>()
    const gate = Promise.withResolvers<void>()
    const rig = makeRig({
      sets: {
        before: (call, setId) =>
          call === 'stopContainer' && hanging.has(setId) ? gate.promise : undefined,
      },
    })
    await rig.clock.advance(10)
    for (let number = 1; number <= 20; number++) {
      hanging.add(testId('set', number))
      rig.want(testSetWithPort(number))
    }
    rig.want(testSetWithPort(21, other))
    await rig.untilState('running', 21)
    await rig.untilState('running', 20)
    rig.unwant([...hanging].map((id) => `set/${id}`))
    await rig.clock.advance(1_000)
    rig.unwant([`set/${testId('set', 21)}`])
    await rig.clock.advance(1_000)
    assert.equal(rig.known(21), undefined)
    assert.equal(rig.known(20)?.state, 'stopping')
    gate.resolve()
    await rig.host.stop()
  })
})

describe('a full disk', () => {
  class FullDisk extends MemoryDisk {
    isFull = false

    override write(changes: readonly DiskChange[]): void {
      if (this.isFull) throw new PlatformError('HOST_DISK_FULL', {})
      super.write(changes)
    }
  }

  test('keeps no crashed container from its restart, and no agent from its start', async () => {
    const disk = new FullDisk()
    const rig = await runningRig({ disk })
    disk.isFull = true
    rig.host.setDriver.endContainer(testId('set', 1), 'main', { exitCode: 1 })
    await rig.clock.advanceUntil(() => rig.known()?.containers[0]?.restarts === 1)
    await rig.untilState('running')
    await rig.host.crash()
    rig.host.start()
    rig.host.setDriver.endContainer(testId('set', 1), 'main', { exitCode: 1 })
    await rig.clock.advance(5_000)
    assert.equal(rig.host.agent?.found(testId('set', 1))?.state, 'running')
    await rig.host.stop()
  })
})

describe('what is on the host and not wanted', () => {
  test('stays until a snapshot has come, and then goes', async () => {
    const rig = await runningRig()
    await rig.host.stop()
    // The state of the agent is lost; what runs is not.
    const bare = makeRig()
    for (const [id, set] of rig.host.setHost.sets) bare.host.setHost.sets.set(id, set)
    bare.host.setHost.images.add(testImage.digest)
    bare.servers.onHello = () => undefined
    await bare.clock.advance(30_000)
    assert.deepEqual(sandboxes(bare), [testId('set', 1)])
    bare.servers.last.want(testUpdate(1, [], { full: true }))
    await bare.clock.advance(1_000)
    assert.deepEqual(sandboxes(bare), [])
    await bare.host.stop()
  })

  test('a set at a lower epoch is refused', async () => {
    const rig = await runningRig({}, { epoch: 3 })
    rig.want(testSetWithPort(1, { epoch: 2, generation: 9 }))
    await rig.clock.advance(1_000)
    assert.equal(rig.host.setHost.sets.get(testId('set', 1))?.spec.epoch, 3)
    assert.equal(rig.known()?.epoch, 3)
    rig.want(testSetWithPort(1, { epoch: 4 }))
    await rig.clock.advanceUntil(() => rig.known()?.epoch === 4 && rig.known()?.state === 'running')
    assert.equal(rig.host.setHost.sets.get(testId('set', 1))?.spec.epoch, 4)
    await rig.host.stop()
  })
})

describe('a session', () => {
  test('begins with what is on disk; a full report follows when everything has been looked at', async () => {
    const rig = await runningRig()
    await rig.host.crash()
    rig.host.start()
    await rig.clock.advance(2_000)
    const hello = rig.servers.last.of('hello')[0]
    assert.equal(hello?.wantedRevision, 1)
    assert.equal(hello?.inventory.engines['docker'], 'simulated')
    const first = rig.servers.last.of('found')[0]
    assert.equal(first?.full, true)
    // No flapping over an agent's restart: the first thing that is told is that it runs.
    assert.deepEqual(
      first?.instances.map(({ state }) => state),
      ['running'],
    )
    await rig.host.stop()
  })

  test('learns servers and remembers them', async () => {
    const rig = await runningRig()
    assert.deepEqual(rig.host.agent?.servers, ['s1:7443', 's2:7443'])
    await rig.host.crash()
    rig.servers.down.add('s1:7443')
    rig.host.start()
    await rig.clock.advance(5_000)
    assert.equal(rig.servers.last.server, 's2:7443')
    assert.equal(rig.host.agent?.connectedTo, 's2:7443')
    await rig.host.stop()
  })

  test('a hostile or broken server changes nothing on the host', async () => {
    const rig = await runningRig()
    const before = rig.host.setHost.sets.get(testId('set', 1))
    rig.servers.last.sendText(
      '{"type":"wanted","revision":2,"full":true,"last":true,"upserts":[{}],"removes":[]}',
    )
    await rig.clock.advance(1_000)
    assert.equal(rig.servers.accepted.length, 2)
    assert.equal(rig.host.setHost.sets.get(testId('set', 1)), before)
    await rig.host.stop()
  })
})
