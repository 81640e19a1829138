// Proves that hosts look for each other when a server asks, and say the truth of their leases, also without a server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, VirtualClock } from '@nubo/base'
import type { ProbeAnswer } from '@nubo/contracts/host'
import { FakeUnderlay } from './probes/fake-underlay.ts'
import { createSimulatedHost } from './simulated/simulated-host.ts'
import { FakeServers } from './testing/fake-server.ts'
import { testId, testSetWithPort, testUpdate } from './testing/wanted.ts'

/** Two hosts with servers of their own, on one underlay; the second has an `elsewhere` set that runs. */
async function start() {
  const clock = new VirtualClock()
  const underlay = new FakeUnderlay(clock)
  const make = (number: number) => {
    const servers = new FakeServers()
    const host = createSimulatedHost({
      hostId: testId('host', number),
      clock,
      random: seededRandom(number),
      connector: servers,
      servers: ['s1:7443'],
      vtepAddress: `172.16.0.${number}`,
      underlay,
    })
    servers.onHello = (agent) =>
      agent.want(
        testUpdate(1, number === 2 ? testSetWithPort(1, { recovery: 'elsewhere' }) : [], {
          full: true,
        }),
      )
    host.start()
    return { host, servers }
  }
  const [first, second] = [make(1), make(2)]
  await clock.advanceUntil(
    () => second.servers.last.found.get(testId('set', 1))?.state === 'running',
  )
  let asked = 0
  const look = async (): Promise<ProbeAnswer | null | undefined> => {
    const id = (asked += 1)
    const address = second.servers.accepted[0]?.of('hello')[0]?.probeAddress ?? ''
    const targets = [{ hostId: second.host.hostId, address }]
    first.servers.last.send({ type: 'probe', id, timeoutMs: 1_000, targets })
    await clock.advance(1_500)
    return first.servers.last.of('probe-report').find((report) => report.id === id)?.results[0]
      ?.answer
  }
  const stop = async (): Promise<void> => {
    for (const { host } of [first, second]) {
      await host.stop()
      host.guard.kill()
    }
  }
  return { clock, underlay, first, second, look, stop }
}

test('a host without a server goes on to answer, and tells when its lease has ended and its sets have stopped', async () => {
  const { clock, second, look, stop } = await start()
  assert.deepEqual(await look(), { bootId: 'boot-1', lease: 'lasts', elsewhereRunning: 1 })
  second.servers.down.add('s1:7443').add('s2:7443')
  second.servers.last.close()
  assert.deepEqual(await look(), { bootId: 'boot-1', lease: 'lasts', elsewhereRunning: 1 })
  await clock.advance(40_000)
  assert.deepEqual(await look(), { bootId: 'boot-1', lease: 'ended', elsewhereRunning: 0 })
  // Its next life has the key from the disk.
  await second.host.crash()
  assert.equal(await look(), null)
  second.host.start()
  await clock.advance(1_000)
  assert.deepEqual(await look(), { bootId: 'boot-1', lease: 'ended', elsewhereRunning: 0 })
  await second.host.powerOff()
  assert.equal(await look(), null)
  await stop()
})

test('what cannot be known counts as running', async () => {
  const { clock, second, look, stop } = await start()
  second.servers.down.add('s1:7443').add('s2:7443')
  second.servers.last.close()
  second.host.setHost.takeDown()
  await clock.advance(60_000)
  assert.deepEqual(await look(), { bootId: 'boot-1', lease: 'ended', elsewhereRunning: 1 })
  await stop()
})

test('an underlay that is cut in one direction is silence', async () => {
  const { underlay, look, stop } = await start()
  for (const cutFrom of ['172.16.0.1:7444', '172.16.0.2:7444']) {
    underlay.passes = (from) => from !== cutFrom
    assert.equal(await look(), null)
  }
  underlay.passes = () => true
  assert.equal((await look())?.lease, 'lasts')
  await stop()
})
