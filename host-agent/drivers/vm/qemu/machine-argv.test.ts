// QEMU's command line as a function of the specification: what stands in it, and what a value cannot put into it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainVmSpec } from '../testing/plain-vm-spec.ts'
import { machineArgv, type MachineFiles } from './machine-argv.ts'

const FILES: MachineFiles = {
  qmpSocket: '/run/vm/qmp',
  serialSocket: '/run/vm/serial',
  disk: { path: '/v/a,b=c/disk', basePath: '/v/base' },
  kernel: null,
}

function valuesOf(argv: readonly string[], option: string): string[] {
  return argv.filter((_word, at) => argv[at - 1] === option)
}

/** The objects of an option in JSON. */
function objectsOf(argv: readonly string[], option: string): Record<string, unknown>[] {
  return valuesOf(argv, option)
    .filter((text) => text.startsWith('{'))
    .map((text) => JSON.parse(text) as Record<string, unknown>)
}

test('every VM is sandboxed, stands still at first, stays after its end, and has room to grow', () => {
  const argv = machineArgv(plainVmSpec({ cpus: 4, memoryBytes: 2 ** 33 }), FILES, 'tcg')
  for (const word of ['-nodefaults', '-no-user-config', '-S']) assert.ok(argv.includes(word), word)
  const [sandbox = ''] = valuesOf(argv, '-sandbox')
  for (const rule of ['on', 'obsolete=deny', 'elevateprivileges=deny', 'spawn=deny'])
    assert.ok(sandbox.split(',').includes(rule), rule)
  assert.deepEqual(valuesOf(argv, '-action'), ['reboot=reset,shutdown=pause,panic=pause'])
  assert.deepEqual(valuesOf(argv, '-smp'), ['cpus=4,maxcpus=16,sockets=16,cores=1,threads=1'])
  assert.deepEqual(valuesOf(argv, '-m'), ['size=8192M,slots=8,maxmem=32768M'])
  const ports = objectsOf(argv, '-device').filter(({ driver }) => driver === 'pcie-root-port')
  assert.equal(ports.length, 8)
  assert.equal(new Set(ports.map(({ addr }) => addr)).size, 8)
})

test('the largest VMs ask for no room that is not there', () => {
  const argv = machineArgv(plainVmSpec({ cpus: 64, memoryBytes: 2 ** 40 }), FILES, 'kvm')
  assert.deepEqual(valuesOf(argv, '-m'), ['size=1048576M'])
  assert.match(valuesOf(argv, '-smp')[0] ?? '', /^cpus=64,maxcpus=64,/)
  assert.deepEqual(valuesOf(argv, '-accel'), ['kvm'])
})

test('the chain of a disk is spelled out, and paths stay values', () => {
  const nodes = objectsOf(machineArgv(plainVmSpec(), FILES, 'tcg'), '-blockdev')
  assert.equal(nodes.length, 2)
  assert.equal(nodes[0]?.['backing'], null)
  assert.equal(nodes[0]?.['read-only'], true)
  const text = JSON.stringify(nodes[1])
  assert.match(text, /"backing":"root-base"/)
  assert.match(text, /"filename":"\/v\/a,b=c\/disk"/)
  const alone = machineArgv(
    plainVmSpec(),
    { ...FILES, disk: { path: '/v/disk', basePath: null } },
    'tcg',
  )
  assert.match(JSON.stringify(objectsOf(alone, '-blockdev')), /"backing":null/)
})

test('devices keep their places', () => {
  const link = { hostInterface: 'v1', mac: '0a:00:00:00:00:01', mtuBytes: 1_450 }
  const spec = plainVmSpec({
    interfaces: [link, { ...link, hostInterface: 'v2', mac: '0a:00:00:00:00:02' }],
  })
  const argv = machineArgv(spec, FILES, 'tcg')
  const nics = objectsOf(argv, '-device').filter(({ driver }) => driver === 'virtio-net-pci')
  assert.deepEqual(
    nics.map(({ addr, mac, host_mtu: mtu }) => [addr, mac, mtu]),
    [
      ['0x8', '0a:00:00:00:00:01', 1_450],
      ['0x9', '0a:00:00:00:00:02', 1_450],
    ],
  )
  assert.deepEqual(
    objectsOf(argv, '-netdev').map(({ ifname }) => ifname),
    ['v1', 'v2'],
  )
  const places = objectsOf(argv, '-device').flatMap(({ addr }) => (addr === undefined ? [] : addr))
  assert.equal(new Set(places).size, places.length)
})

test('a kernel is given with its command line as one argument', () => {
  const commandLine = 'console=ttyS0 init=/x,y "z"'
  const spec = plainVmSpec({ boot: { from: 'kernel', commandLine }, rootDisk: null })
  const files = { ...FILES, disk: null, kernel: { path: '/v/kernel', initrdPath: '/v/initrd' } }
  const argv = machineArgv(spec, files, 'tcg')
  assert.deepEqual(valuesOf(argv, '-append'), [commandLine])
  assert.deepEqual(valuesOf(argv, '-kernel'), ['/v/kernel'])
  assert.deepEqual(valuesOf(argv, '-initrd'), ['/v/initrd'])
  assert.deepEqual(valuesOf(argv, '-blockdev'), [])
  assert.equal(valuesOf(machineArgv(plainVmSpec(), FILES, 'tcg'), '-kernel').length, 0)
})
