// Proves that the test guest boots on a real QEMU in each of its forms, tells what it is, notices what is plugged in, and goes when told.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { silentLog } from '@nubo/runtime/process'
import type { QmpClient } from '@nubo/wire-qmp'
import { buildTestGuest, type TestGuest } from './build-test-guest.ts'
import { testGuestSwitches } from './command-line.ts'
import { serveDhcp } from './testing/dhcp-network.ts'
import { GuestMachine } from './testing/guest-machine.ts'
import { serveMetadata } from './testing/metadata-server.ts'

const MIB = 2 ** 20
const WAIT = { timeoutMs: 30_000 }

describe('the test guest', () => {
  let folder: string
  let guest: TestGuest

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nubo-guest-test-'))
    guest = await buildTestGuest({ folder, log: silentLog })
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const direct = (...words: string[]): string[] => {
    const { vmlinux, initrd, commandLine } = guest
    const told = [commandLine, ...words].join(' ')
    return ['-kernel', vmlinux, '-initrd', initrd, '-append', told]
  }
  const disk = (driver: string, path: string): string[] => {
    const file = `file.driver=file,file.filename=${path}`
    const device = 'virtio-blk-pci,drive=disk0,serial=boot-1,bootindex=0'
    const backend = `${driver},node-name=disk0,read-only=on,${file}`
    return ['-blockdev', backend, '-device', device]
  }

  test('is found again without making anything', async () => {
    assert.deepEqual(await buildTestGuest({ folder, log: silentLog }), guest)
  })

  test('booted by its kernel: says what it is, and ends at the power button', async (t) => {
    const machine = await GuestMachine.start(t, { boot: direct('a="b\\c"') })
    const state = await machine.state()
    assert.ok(state.memoryKib > 64 * 1_024 && state.memoryKib < 128 * 1_024)
    assert.ok(state.bootedSeconds > 0)
    const [first] = state.interfaces
    assert.match(first?.mac ?? '', /^52:54:00(:[0-9a-f]{2}){3}$/)
    assert.deepEqual(
      { ...state, memoryKib: 0, bootedSeconds: 0 },
      {
        hostname: 'nubo-guest',
        cpus: 1,
        memoryKib: 0,
        disks: [],
        interfaces: [{ name: 'eth0', mac: first?.mac, mtu: 1_500, addresses: ['10.0.2.15/24'] }],
        routes: [{ destination: '10.0.2.0/24', gateway: null, interface: 'eth0' }],
        dns: [],
        bootedSeconds: 0,
        metadata: null,
        userDataSha256: null,
        commandLine: `${guest.commandLine} a="b\\c"`,
      },
    )
    assert.equal(await (await machine.get('/')).text(), 'nubo-guest\n')
    await machine.qmp.run('system_powerdown')
    assert.deepEqual(await machine.exited, { code: 0, signal: null })
  })

  for (const form of ['raw', 'qcow2'] as const) {
    test(`booted from its ${form} disk: sees that disk, and ends at the power button`, async (t) => {
      const path = form === 'raw' ? guest.diskRaw : guest.diskQcow2
      const machine = await GuestMachine.start(t, { boot: disk(form, path) })
      const state = await machine.state()
      assert.deepEqual(state.disks, [{ name: 'vda', sizeBytes: 48 * MIB, serial: 'boot-1' }])
      assert.ok(state.commandLine.includes(guest.commandLine))
      await machine.qmp.run('system_powerdown')
      assert.deepEqual(await machine.exited, { code: 0, signal: null })
    })
  }

  test('takes into use what is plugged in, and lets go of it', async (t) => {
    const machine = await GuestMachine.start(t, { boot: direct() })
    const { qmp } = machine
    await plugCpu(qmp)
    await machine.stateWhen('two processors', ({ cpus }) => cpus === 2)

    await qmp.run('blockdev-add', { driver: 'null-co', 'node-name': 'n1', size: 3 * MIB })
    await qmp.run('blockdev-add', { driver: 'null-co', 'node-name': 'n2', size: 5 * MIB })
    const virtio = { driver: 'virtio-blk-pci', id: 'disk1', drive: 'n1', bus: 'rp1' }
    await qmp.run('device_add', { ...virtio, serial: 'data-1' })
    const scsi = { driver: 'scsi-hd', id: 'disk2', drive: 'n2', bus: 'scsi0.0' }
    await qmp.run('device_add', { ...scsi, serial: 'data-2' })
    const { disks } = await machine.stateWhen('two disks', (state) => state.disks.length === 2)
    assert.deepEqual(disks, [
      { name: 'sda', sizeBytes: 5 * MIB, serial: 'data-2' },
      { name: 'vda', sizeBytes: 3 * MIB, serial: 'data-1' },
    ])

    for (const id of ['disk1', 'disk2']) {
      const gone = qmp.waitForEvent(
        (event) => event.name === 'DEVICE_DELETED' && event.data.device === id,
        WAIT,
      )
      await qmp.run('device_del', { id })
      await gone
    }
    await machine.stateWhen('no disks', (state) => state.disks.length === 0)
  })

  test('takes memory into use that is plugged in', async (t) => {
    const boot = [...direct(), '-m', '256,slots=1,maxmem=1G']
    const machine = await GuestMachine.start(t, { boot })
    const { memoryKib } = await machine.state()
    const backend = { 'qom-type': 'memory-backend-ram', id: 'ram1', size: 128 * MIB }
    await machine.qmp.run('object-add', backend)
    await machine.qmp.run('device_add', { driver: 'pc-dimm', id: 'dimm1', memdev: 'ram1' })
    const isMore = (now: number): boolean => now >= memoryKib + 100 * 1_024
    await machine.stateWhen('more memory', (state) => isMore(state.memoryKib))
    await machine.qmp.run('device_del', { id: 'dimm1' })
    await machine.stateWhen('as before', (state) => !isMore(state.memoryKib))
  })

  test('configures an interface that comes later by all that DHCP says', async (t) => {
    const machine = await GuestMachine.start(t, { boot: direct() })
    const mac = '52:54:00:00:00:07'
    const path = join(machine.folder, 'network')
    await serveDhcp(t, path, {
      mac,
      address: '10.9.0.7',
      prefixLength: 32,
      serverId: '10.9.0.1',
      leaseSeconds: 3_600,
      routers: ['10.9.0.1'],
      dnsServers: ['10.9.0.1', '10.9.0.2'],
      mtuBytes: 1_450,
      routes: [
        { destination: '10.9.0.1', prefixLength: 32, router: '0.0.0.0' },
        { destination: '169.254.169.254', prefixLength: 32, router: '10.9.0.1' },
      ],
      hostName: 'web-1',
    })
    const netdev = { type: 'stream', id: 'net1', addr: { type: 'unix', path } }
    await machine.qmp.run('netdev_add', netdev)
    const card = { driver: 'virtio-net-pci', id: 'nic1', netdev: 'net1', bus: 'rp2' }
    await machine.qmp.run('device_add', { ...card, mac, romfile: '' })
    // The last of what is set.
    const state = await machine.stateWhen('its name', ({ hostname }) => hostname === 'web-1')
    assert.deepEqual(state.interfaces[1], {
      name: 'eth1',
      mac,
      mtu: 1_450,
      addresses: ['10.9.0.7/32'],
    })
    const routes = state.routes.filter((route) => route.interface === 'eth1')
    assert.deepEqual(routes, [
      { destination: 'default', gateway: '10.9.0.1', interface: 'eth1' },
      { destination: '10.9.0.1', gateway: null, interface: 'eth1' },
      { destination: '169.254.169.254', gateway: '10.9.0.1', interface: 'eth1' },
    ])
    assert.deepEqual(state.dns, ['10.9.0.1', '10.9.0.2'])
    assert.equal(await (await machine.get('/')).text(), 'web-1\n')

    await machine.qmp.run('device_del', { id: 'nic1' })
    const later = await machine.stateWhen('one interface', (now) => now.interfaces.length === 1)
    assert.deepEqual(
      later.routes.map((route) => route.interface),
      ['eth0'],
    )
  })

  test('knows its instance id and its user data, byte for byte', async (t) => {
    const userData = Buffer.from('#!/bin/sh\r\n\r\necho \0\xff without an end', 'latin1')
    const port = await serveMetadata(t, { instanceId: 'i-0123', userData })
    const machine = await GuestMachine.start(t, { boot: direct(), network: metadataAt(port) })
    const state = await machine.stateWhen('metadata', ({ metadata }) => metadata !== null)
    assert.equal(state.metadata, 'i-0123')
    assert.equal(state.userDataSha256, createHash('sha256').update(userData).digest('hex'))
  })

  test('without user data knows its instance id', async (t) => {
    const port = await serveMetadata(t, { instanceId: 'i-0124', userData: undefined })
    const machine = await GuestMachine.start(t, { boot: direct(), network: metadataAt(port) })
    const state = await machine.stateWhen('metadata', ({ metadata }) => metadata !== null)
    assert.deepEqual([state.metadata, state.userDataSha256], ['i-0124', null])
  })

  test('told so, does not hear the power button', async (t) => {
    const machine = await GuestMachine.start(t, { boot: direct(testGuestSwitches.ignorePower) })
    const { bootedSeconds } = await machine.state()
    await machine.qmp.run('system_powerdown')
    // By its own time, which goes on only as long as it runs.
    await machine.stateWhen('it runs on', (state) => state.bootedSeconds > bootedSeconds + 1)
    await machine.qmp.quit()
  })

  test('told so, panics, and QEMU hears of it', async (t) => {
    const machine = await GuestMachine.start(t, { boot: direct(testGuestSwitches.panic) })
    assert.deepEqual(await machine.exited, { code: 0, signal: null })
    assert.ok(machine.events.includes('GUEST_PANICKED'), machine.events.join(' '))
  })
})

/** A network in which 169.254.169.254 is that port of this machine. QEMU allows it only to addresses of its own network. */
function metadataAt(port: number): string {
  const net = 'net=169.254.0.0/16,host=169.254.0.2,dhcpstart=169.254.0.15'
  return `,${net},guestfwd=tcp:169.254.169.254:80-cmd:busybox nc 127.0.0.1 ${port}`
}

async function plugCpu(qmp: QmpClient): Promise<void> {
  const found = await qmp.run('query-hotpluggable-cpus')
  const spare = found.find(({ qomPath }) => qomPath === null)
  assert.ok(spare)
  const { 'node-id': _node, ...place } = spare.place
  await qmp.run('device_add', { driver: spare.type, id: 'cpu1', ...place })
}
