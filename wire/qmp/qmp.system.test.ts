/** The client against a real QEMU without a guest: what is typed is what QEMU says, and its death is told. */
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { QmpClient } from './client.ts'
import { commands } from './commands.ts'
import { QmpCommandError, QmpConnectionError, QmpReturnError, QmpTimeoutError } from './errors.ts'
import type { QmpEvent } from './events.ts'
import { readInteger } from './fields.ts'
import { RealQemu } from './testing/qemu.ts'

const WAIT = { timeoutMs: 30_000 }
const MIB = 2 ** 20

/** The class of QEMU's refusal, or `done`. */
async function classOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'done',
    (error: unknown) => {
      if (error instanceof QmpCommandError) return error.class
      throw error
    },
  )
}

async function nodeNames(client: QmpClient): Promise<(string | null)[]> {
  return (await client.run('query-named-block-nodes', { flat: true })).map((node) => node.nodeName)
}

test('the machine says what it is', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  assert.deepEqual(await client.run('query-version'), client.greeting.version)
  assert.ok(client.greeting.version.major >= 7)
  assert.equal(await client.run('query-name'), null)
  assert.match(await client.run('query-uuid'), /^[0-9a-f-]{36}$/)
  assert.equal((await client.run('query-kvm')).isEnabled, false)
  const names = await client.run('query-commands')
  assert.ok(names.includes('query-status') && names.length > 100)
  assert.deepEqual(await client.run('query-memory-size-summary'), {
    baseBytes: 64 * MIB,
    pluggedBytes: 0,
  })
  assert.deepEqual(await client.run('query-balloon'), { actualBytes: 64 * MIB })
  assert.deepEqual(await client.run('query-migrate').then(({ status, ram }) => [status, ram]), [
    null,
    null,
  ])
  const [bus] = await client.run('query-pci')
  assert.deepEqual(
    bus?.devices.map(({ id }) => id).filter((id) => id !== ''),
    ['rp1', 'rp2', 'vmem0', 'balloon0'],
  )
  assert.equal((await client.run('query-chardev')).length, 1)
  assert.deepEqual(await client.run('query-vnc-servers'), [])
  await client.run('balloon', { value: 32 * MIB })
  await assert.rejects(client.execute('no-such-command'), { class: 'CommandNotFound' })
  // The largest answer that there is.
  const schema = await client.execute('query-qmp-schema')
  assert.ok(Array.isArray(schema) && schema.length > 500)
})

test('every command of the table is one of QEMU', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  const names = new Set(await client.run('query-commands'))
  assert.deepEqual(
    Object.keys(commands).filter((name) => !names.has(name)),
    [],
  )
})

test('stop, cont and reset change the state and are heard', async (t) => {
  const events: QmpEvent[] = []
  const client = await (
    await RealQemu.start(t)
  ).connect({
    onEvent: (event) => events.push(event),
  })
  assert.deepEqual(await client.run('query-status'), { status: 'prelaunch', isRunning: false })
  await client.run('cont')
  assert.deepEqual(await client.run('query-status'), { status: 'running', isRunning: true })
  await client.run('stop')
  assert.deepEqual(await client.run('query-status'), { status: 'paused', isRunning: false })
  await client.run('system_powerdown')
  const reset = client.waitForEvent((event) => event.name === 'RESET', WAIT)
  await client.run('system_reset')
  assert.deepEqual((await reset).data, { isByGuest: false, reason: 'host-qmp-system-reset' })
  assert.deepEqual(
    events.map(({ name }) => name),
    ['RESUME', 'STOP', 'POWERDOWN', 'RESET'],
  )
  assert.ok(events.every(({ atMs }) => atMs !== null && atMs > 1.7e12))
})

test('a disk is added, refused to be taken from under its device, and removed at a reset', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'node0', size: 2 ** 40 })
  await client.run('device_add', {
    driver: 'virtio-blk-pci',
    id: 'disk0',
    drive: 'node0',
    bus: 'rp1',
  })
  const [disk] = await client.run('query-block')
  assert.equal(disk?.inserted?.virtualSizeBytes, 2 ** 40)
  assert.equal(disk?.qdev, '/machine/peripheral/disk0/virtio-backend')
  const [stats] = await client.run('query-blockstats')
  assert.deepEqual([stats?.nodeName, stats?.reads, stats?.writtenBytes], ['node0', 0, 0])
  assert.equal(await classOf(client.run('blockdev-del', { 'node-name': 'node0' })), 'GenericError')
  assert.equal(
    await classOf(client.run('device_add', { driver: 'virtio-blk-pci', id: 'disk0', drive: 'x' })),
    'GenericError',
  )
  // Without a guest nobody lets the device go; a reset does.
  await client.run('device_del', { id: 'disk0' })
  const gone = client.waitForEvent(
    (event) => event.name === 'DEVICE_DELETED' && event.data.device === 'disk0',
    WAIT,
  )
  await client.run('system_reset')
  await gone
  assert.equal(await classOf(client.run('device_del', { id: 'disk0' })), 'DeviceNotFound')
  await client.run('blockdev-del', { 'node-name': 'node0' })
  assert.deepEqual(await nodeNames(client), [])
})

test('sizes are exact, or refused by name on the way there and on the way back', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  const exact = 2 ** 53 - 512
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'exact', size: exact })
  const [node] = await client.run('query-named-block-nodes', { flat: true })
  assert.equal(node?.virtualSizeBytes, exact)
  await assert.rejects(
    client.run('blockdev-add', { driver: 'null-co', 'node-name': 'beyond', size: 2 ** 53 }),
    { name: 'QmpValueError', field: 'blockdev-add.size' },
  )
  // QEMU rounds up to whole sectors, hence to 2^53.
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'a', size: 2 ** 53 - 1 })
  await assert.rejects(client.run('query-named-block-nodes'), (error) => {
    assert.ok(error instanceof QmpReturnError)
    assert.match(error.field, /^query-named-block-nodes\[\d\]\.image\.virtual-size$/)
    return error.outcome === 'done'
  })
  await client.run('blockdev-del', { 'node-name': 'a' })
  assert.deepEqual(await nodeNames(client), ['exact'])
})

test('a disk under a throttle group, whose limits change while it is used', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  await client.run('object-add', {
    'qom-type': 'throttle-group',
    id: 'limits0',
    limits: { 'iops-total': 100 },
  })
  await client.run('blockdev-add', {
    driver: 'throttle',
    'node-name': 'throttled',
    'throttle-group': 'limits0',
    file: { driver: 'null-co', 'node-name': 'below', size: MIB },
  })
  await client.run('qom-set', {
    path: '/objects/limits0',
    property: 'limits',
    value: { 'iops-total': 0, 'bps-total': 5 * MIB },
  })
  const limits = await client.run('qom-get', { path: '/objects/limits0', property: 'limits' })
  assert.ok(limits instanceof Object && 'bps-total' in limits)
  assert.equal(readInteger(limits['bps-total'], 'limits'), 5 * MIB)
  const objects = await client.run('qom-list', { path: '/objects' })
  assert.ok(
    objects.some(({ name, type }) => name === 'limits0' && type === 'child<throttle-group>'),
  )
  assert.deepEqual(new Set(await nodeNames(client)), new Set(['below', 'throttled']))
  assert.equal(await classOf(client.run('object-del', { id: 'limits0' })), 'GenericError')
  await client.run('blockdev-del', { 'node-name': 'throttled' })
  await client.run('object-del', { id: 'limits0' })
})

test('snapshots in a transaction, growth, and a commit back', async (t) => {
  const qemu = await RealQemu.start(t)
  const client = await qemu.connect()
  const created = client.waitForEvent(
    (event) => event.name === 'JOB_STATUS_CHANGE' && event.data.status === 'concluded',
    WAIT,
  )
  await client.execute('blockdev-create', {
    'job-id': 'create0',
    options: { driver: 'file', filename: join(qemu.folder, 'base'), size: 0 },
  })
  await created
  const [create] = await client.run('query-jobs')
  assert.deepEqual(
    [create?.id, create?.type, create?.status, create?.error],
    ['create0', 'create', 'concluded', null],
  )
  await client.run('job-dismiss', { id: 'create0' })
  await client.run('blockdev-add', {
    driver: 'raw',
    'node-name': 'base',
    file: { driver: 'file', filename: join(qemu.folder, 'base') },
  })
  await client.run('block_resize', { 'node-name': 'base', size: 4 * MIB })
  assert.equal((await stat(join(qemu.folder, 'base'))).size, 4 * MIB)
  await client.run('device_add', {
    driver: 'virtio-blk-pci',
    id: 'disk0',
    drive: 'base',
    bus: 'rp1',
  })
  const snapshot = {
    'node-name': 'base',
    'snapshot-file': join(qemu.folder, 'top'),
    'snapshot-node-name': 'top',
  }
  await assert.rejects(
    client.run('transaction', {
      actions: [
        { type: 'blockdev-snapshot-sync', data: snapshot },
        { type: 'abort', data: {} },
      ],
    }),
    QmpCommandError,
  )
  assert.ok(!(await nodeNames(client)).includes('top'))
  await client.run('transaction', { actions: [{ type: 'blockdev-snapshot-sync', data: snapshot }] })
  const top = (await client.run('query-named-block-nodes')).find((node) => node.nodeName === 'top')
  assert.deepEqual([top?.driver, top?.backingDepth, top?.virtualSizeBytes], ['qcow2', 1, 4 * MIB])
  const ready = client.waitForEvent((event) => event.name === 'BLOCK_JOB_READY', WAIT)
  await client.run('block-commit', { 'job-id': 'commit0', device: 'top' })
  await ready
  const [commit] = await client.run('query-block-jobs')
  assert.deepEqual([commit?.device, commit?.type, commit?.isReady], ['commit0', 'commit', true])
  const completed = client.waitForEvent((event) => event.name === 'BLOCK_JOB_COMPLETED', WAIT)
  await client.run('job-complete', { id: 'commit0' })
  assert.equal((await completed).data.error, null)
  assert.deepEqual(await client.run('query-jobs'), [])
  assert.equal((await client.run('query-block'))[0]?.inserted?.nodeName, 'base')
})

test('network backends, links, CPUs and memory are changed while the machine is there', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  await client.run('netdev_add', { type: 'hubport', id: 'net0', hubid: 0 })
  await client.run('device_add', {
    driver: 'virtio-net-pci',
    id: 'nic0',
    netdev: 'net0',
    bus: 'rp2',
    mac: '52:54:00:12:34:56',
    romfile: '',
  })
  await client.run('set_link', { name: 'nic0', up: false })
  assert.equal(await classOf(client.run('netdev_del', { id: 'absent' })), 'DeviceNotFound')
  const peripherals = await client.run('qom-list', { path: '/machine/peripheral' })
  assert.ok(peripherals.some(({ name }) => name === 'nic0'))
  const spare = (await client.run('query-hotpluggable-cpus')).find(
    ({ qomPath }) => qomPath === null,
  )
  assert.ok(spare)
  const { 'node-id': _node, ...place } = spare.place
  await client.run('device_add', { driver: spare.type, id: 'cpu1', ...place })
  const cpus = await client.run('query-cpus-fast')
  assert.deepEqual(
    cpus.map(({ index, place: at }) => [index, at['core-id']]),
    [
      [0, 0],
      [1, 1],
    ],
  )
  await client.run('qom-set', {
    path: '/machine/peripheral/vmem0',
    property: 'requested-size',
    value: 128 * MIB,
  })
  const [memory] = await client.run('query-memory-devices')
  assert.ok(memory?.type === 'virtio-mem')
  assert.deepEqual(
    [memory.id, memory.sizeBytes, memory.requestedSizeBytes, memory.maxSizeBytes],
    ['vmem0', 0, 128 * MIB, 256 * MIB],
  )
  await client.run('object-add', { 'qom-type': 'memory-backend-ram', id: 'ram1', size: 128 * MIB })
  await client.run('device_add', { driver: 'pc-dimm', id: 'dimm1', memdev: 'ram1' })
  const dimm = (await client.run('query-memory-devices')).find(({ type }) => type === 'dimm')
  assert.ok(dimm?.type === 'dimm')
  assert.deepEqual([dimm.id, dimm.sizeBytes, dimm.isHotplugged], ['dimm1', 128 * MIB, true])
})

test('exports and migration to where nobody is', async (t) => {
  const qemu = await RealQemu.start(t)
  const client = await qemu.connect()
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'node0', size: MIB })
  const data = { path: join(qemu.folder, 'nbd') }
  await client.run('nbd-server-start', { addr: { type: 'unix', data } })
  await client.run('block-export-add', { type: 'nbd', id: 'export0', 'node-name': 'node0' })
  const gone = client.waitForEvent((event) => event.name === 'BLOCK_EXPORT_DELETED', WAIT)
  await client.run('block-export-del', { id: 'export0' })
  await gone
  await client.run('nbd-server-stop')
  await client.run('migrate-set-capabilities', {
    capabilities: [{ capability: 'events', state: true }],
  })
  await client.run('migrate-set-parameters', { 'downtime-limit': 100, 'max-bandwidth': 2 ** 30 })
  const failed = client.waitForEvent(
    (event) => event.name === 'MIGRATION' && event.data.status === 'failed',
    WAIT,
  )
  // It fails with the command or after it.
  await classOf(client.run('migrate', { uri: `unix:${join(qemu.folder, 'absent')}` }))
  await failed
  assert.equal((await client.run('query-migrate')).status, 'failed')
  await client.run('migrate_cancel')
  assert.equal(
    await classOf(client.run('migrate-continue', { state: 'pre-switchover' })),
    'GenericError',
  )
})

test('text that is not ASCII comes back as it was sent', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  await assert.rejects(client.run('device_del', { id: 'é😀"\\%s\u2028\u007f' }), {
    description: "Device 'é😀\"\\%s\u2028\u007f' not found",
  })
})

test('many commands sent at once are all answered', async (t) => {
  const client = await (await RealQemu.start(t)).connect()
  const answers = await Promise.all(
    Array.from({ length: 64 }, async (_, index) =>
      index % 2 === 0 ? (await client.run('query-status')).status : await client.run('query-name'),
    ),
  )
  assert.deepEqual(
    answers,
    Array.from({ length: 64 }, (_, index) => (index % 2 === 0 ? 'prelaunch' : null)),
  )
})

test('quit ends the process, and the connection says so', async (t) => {
  const qemu = await RealQemu.start(t)
  const client = await qemu.connect()
  await client.quit()
  assert.equal(await qemu.exited(), 0)
  const { end } = await client.closed
  assert.ok(end === 'ended' || end === 'failed')
  await assert.rejects(client.quit(), { outcome: 'not_sent' })
})

test('a killed QEMU rejects every command that waits', async (t) => {
  const qemu = await RealQemu.start(t)
  const client = await qemu.connect()
  const waiting = client.waitForEvent(() => false, WAIT)
  const pending = Array.from({ length: 64 }, () => client.run('query-named-block-nodes'))
  const settled = Promise.allSettled([waiting, ...pending])
  await qemu.kill()
  const [event, ...answers] = await settled
  assert.ok(event?.status === 'rejected' && event.reason instanceof QmpConnectionError)
  for (const answer of answers) {
    // Some may have been answered before the end.
    if (answer.status === 'rejected') {
      assert.ok(answer.reason instanceof QmpConnectionError)
      assert.equal(answer.reason.outcome, 'unknown')
    }
  }
  assert.ok(['ended', 'failed'].includes((await client.closed).end))
  assert.equal(client.isClosed, true)
})

test('a stopped QEMU answers late: the outcome is unknown, then the session goes on', async (t) => {
  const qemu = await RealQemu.start(t)
  const client = await qemu.connect()
  qemu.signal('SIGSTOP')
  await assert.rejects(client.run('cont', {}, { timeoutMs: 50 }), (error) => {
    assert.ok(error instanceof QmpTimeoutError)
    return error.outcome === 'unknown'
  })
  qemu.signal('SIGCONT')
  // It was done after all.
  assert.equal((await client.run('query-status')).status, 'running')
})

test('a second client is told why it waits, and is served when the first has gone', async (t) => {
  const qemu = await RealQemu.start(t)
  const first = await qemu.connect()
  await assert.rejects(qemu.connect({ greetingTimeoutMs: 100 }), (error) => {
    assert.ok(error instanceof Error && error.cause instanceof QmpTimeoutError)
    return /another client/.test(error.cause.message)
  })
  const second = qemu.connect()
  assert.equal((await first.run('query-status')).status, 'prelaunch')
  first.close()
  assert.equal((await (await second).run('query-status')).status, 'prelaunch')
})

test('commands that a client leaves behind do not disturb the next one', async (t) => {
  const qemu = await RealQemu.start(t)
  for (let round = 0; round < 40; round += 1) {
    const client = await qemu.connect()
    // The answers are large, so that some are still on their way when the client is gone.
    const left = Array.from({ length: 20 }, () => client.execute('query-qmp-schema'))
    const settled = Promise.allSettled(left)
    if (round % 2 === 1) await Promise.race(left)
    client.close()
    await settled
  }
  const client = await qemu.connect()
  assert.equal((await client.run('query-status')).status, 'prelaunch')
})
