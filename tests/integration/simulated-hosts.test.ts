// Proves that a fleet of simulated hosts joins with certificates of its own, serves, and comes back after a server is lost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimulatedFleet } from '@nubo/host-agent'
import { systemClock, systemRandom } from '@nubo/runtime'
import { done, importRootfs, makeNetwork, makeProject, setOf } from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'

const HOSTS = 20

async function openFleet(region: TestRegion): Promise<SimulatedFleet> {
  const names = Array.from({ length: HOSTS }, (_none, at) => `sim-${at + 1}`)
  const invited = await Promise.all(
    names.map((name) => region.operator.hostInvite({ body: { name } })),
  )
  const fleet = new SimulatedFleet({
    clock: systemClock,
    random: systemRandom,
    config: {
      statusFile: '',
      setStartMs: 0,
      hosts: invited.map(({ token }, at) => ({ token, vtepAddress: `198.18.0.${at + 1}` })),
    },
  })
  region.onClose(() => fleet.stop())
  await fleet.join()
  return fleet
}

test('a fleet of simulated hosts joins, runs sets, and comes back to the server that is left', async (t) => {
  const region = await TestRegion.open(t)
  const fleet = await openFleet(region)
  const isWhole = () =>
    waitUntil(
      () => fleet.status,
      ({ joined, connected, failure }) => joined === HOSTS && connected === HOSTS && !failure,
      { what: 'all hosts are connected' },
    )
  await isWhole()
  const connected = await Promise.all(
    region.servers.map((_server, index) => region.via(index).serverShow()),
  )
  assert.equal(
    connected.reduce((sum, { hostsConnected }) => sum + hostsConnected, 0),
    HOSTS,
  )
  const { member } = await makeProject(region, 'scale')
  await importRootfs(member, 'web')
  await makeNetwork(member, 'net')
  const names = Array.from({ length: 40 }, (_none, at) => `web-${at}`)
  await Promise.all(
    names.map(async (name) => done(member, await member.setCreate({ body: setOf(name) }))),
  )
  assert.equal(fleet.status.setsRunning, names.length)
  await region.server(0).stop()
  await isWhole()
  await waitUntil(
    () => region.via(1).serverShow(),
    ({ hostsConnected }) => hostsConnected === HOSTS,
  )
  assert.ok(fleet.status.sessions > HOSTS)
})
