// Proves what operators see of a lost host, and what the verbs for fencing and power control ask.
import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  endedOperation,
  SAMPLE_TIME_MS,
  sampleHost,
  sampleId,
  startContractServer,
  type ContractServer,
} from '@nubo/client/testing'
import type { Host } from '@nubo/contracts'
import { makeHome, runCli, type Finished } from '../testing/child.ts'

const home = makeHome()
const fenceAsked: unknown[] = []
const powerAsked: unknown[] = []
const lost: Host = {
  ...sampleHost,
  state: 'unreachable',
  cordoned: true,
  maintenance: true,
  drain: { operationId: sampleId(41) },
  fence: {
    step: 'held',
    text: 'The brake holds.',
    silentSince: SAMPLE_TIME_MS,
    neighbours: [{ host: 'host-2', answer: 'heard', lease: 'ended', elsewhereRunning: 0 }],
    power: 'none',
    powerProblem: null,
    by: null,
    fencedAt: null,
  },
}
const brake = {
  id: sampleId(40),
  name: 'zone zone-1',
  hosts: ['host-1', 'host-2'],
  reason: { code: 'HOST_UNREACHABLE', text: '2 of 3 hosts of zone zone-1 were lost.' },
  since: SAMPLE_TIME_MS,
}
let server: ContractServer

before(async () => {
  server = await startContractServer({
    handlers: {
      hostList: () => ({ items: [lost], revision: 5, cursor: null }),
      brakeList: () => ({ items: [brake], revision: 5, cursor: null }),
      hostShow: () => lost,
      operationShow: () => endedOperation('done'),
      hostDrain: () => endedOperation('done'),
      hostMaintenanceBegin: () => endedOperation('done'),
      hostMaintenanceEnd: () => lost,
      hostFence: ({ body }) => {
        fenceAsked.push(body)
        return endedOperation('done')
      },
      hostPowerSet: ({ body }) => {
        powerAsked.push(body)
        return lost
      },
    },
  })
})
after(async () => {
  await server.close()
  rmSync(home, { recursive: true })
})

function nubo(...args: string[]): Promise<Finished> {
  return runCli(home, args, { env: { NUBO_SERVERS: server.url, NUBO_TOKEN: 'secret' } })
}

test('a lost host shows its signs, and the list tells of the brake', async () => {
  const listed = await nubo('host', 'ls')
  assert.match(listed.stdout, /unreachable, held, cordoned, draining, maintenance/)
  assert.match(listed.stderr, /BRAKE since .*: 2 of 3 hosts of zone zone-1 were lost\./)
  const shown = (await nubo('host', 'show', 'host-1')).stdout
  assert.match(shown, /takes no new instances, draining \(nubo operation show .*\), in maintenance/)
  assert.match(shown, /FENCING\n.*step +held/)
  assert.match(shown, /neighbour host-2 +hears it: lease ended, running `elsewhere` sets: 0/)
})

test('fencing asks for proof by default, and takes a word only when it is given', async () => {
  assert.equal((await nubo('host', 'fence', 'host-1')).code, 0)
  const confirmed = await nubo('host', 'fence', 'host-1', '--confirm-off', '--force')
  assert.match(confirmed.stdout, /is fenced/)
  assert.deepEqual(fenceAsked, [
    { confirmOff: false, force: false },
    { confirmOff: true, force: true },
  ])
})

test('the password of a controller comes from a file, and only its first line', async () => {
  const redfish = 'https://10.0.0.9/redfish/v1/Systems/1'
  const file = join(home, 'power-password')
  const set = (...more: string[]) =>
    nubo('host', 'power', 'set', 'host-1', '--redfish', redfish, '--user', 'nubo', ...more)
  assert.equal((await set('--password-file', file)).code, 1)
  writeFileSync(file, 'secret\nnot this\n')
  assert.equal((await set('--password-file', file, '--fingerprint', 'aa')).code, 0)
  assert.deepEqual(powerAsked, [
    { redfish, user: 'nubo', password: 'secret', certificateSha256: 'aa' },
  ])
})

test('a host is drained, and put into maintenance and out of it', async () => {
  assert.match((await nubo('host', 'drain', 'host-1')).stdout, /^host .* is drained: /)
  assert.match((await nubo('host', 'drain', 'host-1', '--no-wait')).stdout, /nubo operation wait/)
  const on = await nubo('host', 'maintenance', 'on', 'host-1')
  assert.match(on.stdout, /^host .* is in maintenance: /)
  const off = await nubo('host', 'maintenance', 'off', 'host-1')
  assert.match(off.stdout, /takes new instances again/)
})
