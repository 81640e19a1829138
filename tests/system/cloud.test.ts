/**
 * The whole product on its real engines, in one cloud of three hosts: what users do with it, what breaks in it, and
 * what hostile people send to it. One cloud serves all topics, because its start is what takes long; each topic brings
 * it back to health.
 */
import { after, before, describe } from 'node:test'
import { TestCloud } from '../support/test-cloud.ts'
import { agents } from './cloud/agents.ts'
import { badInput } from './cloud/bad-input.ts'
import { brake } from './cloud/brake.ts'
import { drain } from './cloud/drain.ts'
import { end, lookAtMachine } from './cloud/end.ts'
import { fencing } from './cloud/fencing.ts'
import { hostFaults } from './cloud/hosts.ts'
import { leases } from './cloud/leases.ts'
import { networks } from './cloud/networks.ts'
import { restarts } from './cloud/restarts.ts'
import { serverFaults } from './cloud/servers.ts'
import { sets } from './cloud/sets.ts'

describe('a cloud', () => {
  const machineBefore = lookAtMachine()
  let cloud: TestCloud | undefined
  const cloudOf = (): TestCloud => {
    if (cloud === undefined) throw new Error('the cloud has not been started')
    return cloud
  }
  before(async () => {
    cloud = await TestCloud.start()
  })
  after(() => cloud?.close())

  networks(cloudOf)
  sets(cloudOf)
  serverFaults(cloudOf)
  restarts(cloudOf)
  hostFaults(cloudOf)
  leases(cloudOf)
  fencing(cloudOf)
  agents(cloudOf)
  brake(cloudOf)
  drain(cloudOf)
  badInput(cloudOf)
  end(cloudOf, () => machineBefore)
})
