import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { isApiError } from '@nubo/client'
import type { SetView } from '@nubo/contracts'
import { HEARTBEAT_MISSED_MAX, HEARTBEAT_PERIOD_MS } from '@nubo/contracts/host'
import { run } from '@nubo/runtime'
import { Pings } from '../../support/pings.ts'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { SetStates } from '../../support/set-states.ts'
import { waitUntil } from '../../support/wait.ts'

const LONG_MS = 60_000

export function hostFaults(cloudOf: () => TestCloud): void {
  describe('hosts', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('hosts')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
      await tenant.run({ name: 'peer', network: 'net', host: 'h1', command: SERVE })
    })
    beforeEach(() => cloud.restore())
    after(async () => {
      await cloud.restore()
      await tenant.clear()
    })

    it('of a host that is switched off the sets are unknown, and return with their addresses', async () => {
      const names = ['here', 'mobile', 'doomed']
      const [here, mobile, doomed] = await Promise.all(
        names.map((name) =>
          tenant.run({
            name,
            network: 'net',
            host: 'h3',
            command: SERVE,
            recovery: name === 'mobile' ? 'elsewhere' : 'local',
          }),
        ),
      )
      assert.ok(here && mobile && doomed)
      const offAtMs = Date.now()
      await cloud.lab.powerOff('h3')
      const unknown = await tenant.waitSet('here', ({ state }) => state === 'unknown', LONG_MS)
      assert.equal(unknown.reason?.code, 'HOST_UNREACHABLE')
      assert.match(unknown.reason?.text ?? '', /h3 is unreachable: Nothing was heard .* since 20/)
      // Since when nothing was heard, which is before the plug was pulled, by less than a heartbeat and its way.
      assert.ok(unknown.sinceMs >= offAtMs - 2 * HEARTBEAT_PERIOD_MS, 'it tells since when')
      assert.deepEqual([unknown.host, unknown.address], ['h3', here.address])
      assert.equal(unknown.containers[0]?.state, 'unknown')
      // It may run elsewhere, but was told to run on h3: once h3 is proven off it waits for it.
      await tenant.waitSet('mobile', ({ host }) => host === null, LONG_MS)
      assert.equal((await tenant.show('peer')).state, 'running')
      assert.equal(await tenant.reaches('peer', here.address), false)

      const removal = await tenant.client.setRemove({ params: { id: 'doomed' } })
      const fresh = await tenant.run({ name: 'fresh', network: 'net' })
      assert.notEqual(fresh.host, 'h3', 'nothing new is placed there')

      await cloud.lab.powerOn('h3')
      for (const before of [here, mobile]) {
        const now = await tenant.isRunning(before.name, LONG_MS)
        const epoch: number = before === mobile ? before.epoch + 1 : before.epoch
        assert.deepEqual([now.host, now.address, now.epoch], ['h3', before.address, epoch])
        assert.match(await tenant.fetch('peer', before.address), /Hello from a set/)
      }
      await tenant.done(removal)
      assert.deepEqual(await cloud.containersOf(doomed), [])
    })

    it('a host without its servers for a while stays in service: others hear it, so it is not switched off; its guests talk on, no restart, no flapping', async (t) => {
      const sets = await Promise.all(
        ['a', 'b', 'c'].map((name) => tenant.run({ name, network: 'net', host: 'h2' })),
      )
      const containers = () => Promise.all(sets.map((set) => cloud.containersOf(set)))
      const before = await containers()
      const peer = await tenant.show('peer')
      const pings = new Pings(t, await cloud.netnsOf(sets[0] ?? assert.fail()), peer.address)
      const states = new SetStates(t, tenant.client)
      await states.synced

      await cloud.lab.cut('h2', ['mgmt'])
      for (const { name } of sets)
        await tenant.waitSet(name, ({ state }) => state === 'unknown', LONG_MS)
      const blocked = await waitUntil(
        () => cloud.operator.hostShow({ params: { id: 'h2' } }),
        ({ fence }) => fence?.step === 'blocked',
        { timeoutMs: LONG_MS, what: 'it is known that it lives' },
      )
      assert.equal(blocked.state, 'unreachable')
      assert.match(blocked.reason?.text ?? '', /(h1|h3) hears it on the underlay, so it is alive/)
      assert.deepEqual(
        blocked.fence?.neighbours.map(({ answer, lease }) => [answer, lease]),
        [
          ['heard', 'lasts'],
          ['heard', 'lasts'],
        ],
      )
      assert.equal(blocked.fence?.power, 'on')
      await pings.answered(100)
      await cloud.lab.heal('h2')
      for (const { name } of sets) await tenant.isRunning(name, LONG_MS)
      await pings.answered(100)
      const { sent, lost } = await pings.stop()
      // A cable out and in again: the userspace switch reads its routes anew at each change of a link.
      assert.ok(lost <= 2, `${lost} of ${sent} pings were lost`)
      assert.deepEqual(await containers(), before)
      for (const { id } of sets)
        assert.deepEqual(states.of(id), ['running', 'unknown', 'running'], 'each change once')
      assert.deepEqual(states.of(peer.id), ['running'])
    })

    it('a host whose data cable is out stays in service, and with it in again its guests reach the others; nothing is restarted', async (t) => {
      const set = await tenant.run({ name: 'cabled', network: 'net', host: 'h2' })
      const before = await cloud.containersOf(set)
      const peer = await tenant.show('peer')
      const pings = new Pings(t, await cloud.netnsOf(set), peer.address)
      const states = new SetStates(t, tenant.client)
      await states.synced
      await pings.answered(20)
      await cloud.lab.cut('h2', ['data'])
      assert.equal(await tenant.reaches('cabled', peer.address), false)
      // For as long as four heartbeats, after which it would be lost.
      await cloud.beats('h2', HEARTBEAT_MISSED_MAX + 1)
      assert.equal((await cloud.operator.hostShow({ params: { id: 'h2' } })).state, 'ready')
      assert.equal((await tenant.exec('cabled', ['true'])).exitCode, 0, 'it is under control')
      await cloud.lab.heal('h2')
      await pings.answered(100)
      assert.deepEqual(states.of(set.id), ['running'])
      assert.deepEqual(await cloud.containersOf(set), before)
    })

    it('a full disk is told, harms nothing that runs, and is over when there is room again', async () => {
      // The disk of the engine is a small one of its own; switching the host off unmounts it.
      const disk = cloud.lab.home.host('h3').docker
      const isMounted = () => readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${disk} `)
      await tenant.remove(...(await onHost(tenant, 'h3')).map(({ name }) => name))
      await cloud.lab.powerOff('h3')
      await run({ argv: ['mount', '-t', 'tmpfs', '-o', 'size=48m', 'small-disk', disk] })
      await cloud.lab.powerOn('h3')
      await cloud.hostIs('h3', 'ready')
      const filler = await tenant.run({
        name: 'filler',
        network: 'net',
        host: 'h3',
        command: SERVE,
        // What it writes to this disk counts as its memory.
        memoryBytes: 128 * 2 ** 20,
      })
      const fill = 'dd if=/dev/zero of=/tmp/fill bs=64k; dd if=/dev/zero of=/tmp/rest bs=1k'
      const filled = await tenant.exec('filler', ['sh', '-c', fill])
      assert.match(filled.stderr, /No space left on device/)

      const ended = await tenant.ended(
        await tenant.create({ name: 'late', network: 'net', host: 'h3', command: SERVE }),
      )
      assert.equal(ended.state, 'failed', JSON.stringify(ended))
      assert.equal(ended.reason?.code, 'HOST_DISK_FULL', JSON.stringify(ended.reason))
      assert.equal((await tenant.show('filler')).state, 'running')
      assert.match(await tenant.fetch('peer', filler.address), /Hello from a set/)

      await tenant.exec('filler', ['rm', '/tmp/fill', '/tmp/rest'])
      const late = await tenant.isRunning('late', LONG_MS)
      assert.match(await tenant.fetch('peer', late.address), /Hello from a set/)

      await tenant.remove('late', 'filler')
      assert.ok(isMounted())
      await cloud.lab.powerOff('h3')
      assert.ok(!isMounted() && existsSync(disk))
      await cloud.lab.powerOn('h3')
      await cloud.hostIs('h3', 'ready')
      await assert.rejects(tenant.show('late'), (error) => isApiError(error, 'NOT_FOUND'))
    })

    it('an agent that cannot write its state says so, leaves what runs alone, and goes on with room', async (t) => {
      const folder = cloud.lab.home.host('h3').agentState
      const full = join(folder, 'filling')
      const kept = await tenant.run({ name: 'kept', network: 'net', host: 'h3', command: SERVE })
      const { address } = kept
      await cloud.lab.powerOff('h3')
      const kit = mkdtempSync(join(tmpdir(), 'nubo-test-state-'))
      t.after(() => rmSync(kit, { recursive: true, force: true }))
      cpSync(folder, kit, { recursive: true, preserveTimestamps: true })
      await run({ argv: ['mount', '-t', 'tmpfs', '-o', 'size=1m,mode=700', 'small-disk', folder] })
      cpSync(kit, folder, { recursive: true, preserveTimestamps: true })
      await cloud.lab.powerOn('h3')
      const before = await waitUntil(
        () => cloud.containersOf(kept),
        (found) => found.length === 2,
        { timeoutMs: LONG_MS, what: 'its set runs again' },
      )
      await run({ argv: ['dd', 'if=/dev/zero', `of=${full}`, 'bs=1k'] }).catch(() => undefined)
      t.after(() => rmSync(full, { force: true }))

      const operation = await tenant.create({ name: 'unsaved', network: 'net', host: 'h3' })
      const waiting = await waitUntil(
        () => tenant.client.operationShow({ params: { id: operation.id } }),
        ({ reason }) => reason !== null,
        { what: 'the operation says why it waits' },
      )
      assert.equal(waiting.reason?.code, 'HOST_DISK_FULL', JSON.stringify(waiting))
      assert.match(await tenant.fetch('peer', address), /Hello from a set/)
      assert.deepEqual(await cloud.containersOf(kept), before)

      rmSync(full)
      await tenant.isRunning('unsaved', LONG_MS)
      await tenant.isRunning('kept', LONG_MS)
      assert.deepEqual(await cloud.containersOf(kept), before)
      await tenant.remove('unsaved', 'kept')
      // Back to the disk of before, with what was wanted then.
      await cloud.lab.powerOff('h3')
      await cloud.lab.powerOn('h3')
      await cloud.hostIs('h3', 'ready')
    })
  })
}

async function onHost(tenant: Tenant, host: string): Promise<SetView[]> {
  return tenant.client.listAll('setList', { host })
}
