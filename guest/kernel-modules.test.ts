// Proves the order in which modules are loaded, what is read out of their files, and out of what apt says of the kernel.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadOrder, readNeeds, type KernelModule } from './kernel-modules.ts'
import { readDependency } from './kernel-package.ts'

const needs: Readonly<Record<string, readonly string[]>> = {
  virtio_net: ['virtio_ring', 'virtio', 'net_failover'],
  virtio: ['virtio_ring'],
  virtio_ring: [],
  net_failover: ['failover'],
  failover: [],
  a: ['b'],
  b: ['a'],
}
const find = (name: string): KernelModule | 'builtin' | undefined => {
  if (name === 'rng_core') return 'builtin'
  return needs[name] === undefined ? undefined : { name, needs: needs[name] }
}

test('each module comes once, after what it needs; built in ones do not', () => {
  assert.deepEqual(loadOrder(['virtio', 'rng-core', 'virtio-net', 'virtio_net'], find), [
    'virtio_ring',
    'virtio',
    'failover',
    'net_failover',
    'virtio_net',
  ])
})

test('a module that is not there, or needs itself, is named', () => {
  assert.throws(() => loadOrder(['absent'], find), /no module absent$/)
  assert.throws(
    () => loadOrder(['c'], (name) => (name === 'c' ? { name, needs: ['d'] } : undefined)),
    {
      message: 'the kernel has no module d, needed by c',
    },
  )
  assert.throws(() => loadOrder(['a'], find), /a needs itself/)
})

test('what a module needs stands in its file', () => {
  const file = (text: string): Buffer => Buffer.from(`\x7fELF\0license=GPL\0${text}\0name=x\0`)
  assert.deepEqual(readNeeds(file('depends=virtio-ring,virtio')), ['virtio_ring', 'virtio'])
  assert.deepEqual(readNeeds(file('depends=')), [])
  assert.throws(() => readNeeds(file('')), /not a kernel module/)
})

test('the kernel that is current is what the package of its kind depends on', () => {
  const shown = `Package: linux-image-cloud-amd64
Version: 6.1.192-2
Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)
Section: kernel
`
  const expected = { name: 'linux-image-6.1.0-56-cloud-amd64', version: '6.1.192-2' }
  assert.deepEqual(readDependency(shown), expected)
  assert.equal(readDependency('Package: linux-image-cloud-amd64\nDepends: linux-base\n'), undefined)
  assert.equal(readDependency(''), undefined)
})
