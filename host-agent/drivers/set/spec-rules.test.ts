import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SetSpec } from './set-driver.ts'
import { checkSpec, setSpecHash } from './spec-rules.ts'

const SPEC: SetSpec = {
  setId: '0190a000-0001-7000-8000-000000000001',
  epoch: 1,
  specHash: 'hash-0',
  name: 'web',
  hostname: 'web',
  cpuMillis: 500,
  memoryBytes: 64 * 2 ** 20,
  pidsMax: 100,
  shmBytes: 0,
  containers: [
    {
      name: 'main',
      index: 0,
      image: { repository: '127.0.0.1:5000/team/web', digest: `sha256:${'a'.repeat(64)}` },
      env: { A: '1', B: '2' },
      cpuMillis: 500,
      memoryBytes: null,
      stopTimeoutMs: 0,
      logBytesMax: 65_536,
    },
  ],
  interfaces: [
    {
      name: 'eth0',
      hostInterface: 'v1',
      mac: '0a:00:00:00:00:05',
      addressWithPrefix: '10.0.0.5/24',
      gateway: '10.0.0.1',
      mtu: 1_450,
    },
  ],
}

test('the hash depends on the content, not on the order of keys, the set or its epoch', () => {
  const hash = setSpecHash(SPEC)
  assert.match(hash, /^[0-9a-f]{32}$/)
  const [container] = SPEC.containers
  assert.ok(container !== undefined)
  assert.equal(
    setSpecHash({ ...SPEC, containers: [{ ...container, env: { B: '2', A: '1' } }] }),
    hash,
  )
  const other: SetSpec = { ...SPEC, setId: 'x', epoch: 9, specHash: 'y' }
  assert.equal(setSpecHash(other), hash)
  for (const change of [
    { cpuMillis: 501 },
    { hostname: 'other' },
    { containers: [{ ...container, env: { A: '1', B: '3' } }] },
    { containers: [{ ...container, command: [] }] },
    { interfaces: [] },
  ] satisfies Partial<SetSpec>[]) {
    assert.notEqual(setSpecHash({ ...SPEC, ...change }), hash, JSON.stringify(change))
  }
})

test('what can be run passes', () => {
  checkSpec(SPEC)
  checkSpec({ ...SPEC, interfaces: [], containers: [], dns: ['10.0.0.2'] })
})

test('what would end in a name, a path or a line of `ip` is held to its form', () => {
  const [container] = SPEC.containers
  const [link] = SPEC.interfaces
  assert.ok(container !== undefined && link !== undefined)
  for (const [field, change] of [
    ['setId', { setId: 'a/b' }],
    ['setId', { setId: '' }],
    ['epoch', { epoch: 1.5 }],
    ['specHash', { specHash: 'a b' }],
    ['hostname', { hostname: '-a' }],
    ['pidsMax', { pidsMax: 0 }],
    ['containers', { containers: [container, container] }],
    ['containers.name', { containers: [{ ...container, name: 'a.b' }] }],
    [
      'containers.main.image.digest',
      { containers: [{ ...container, image: { repository: 'a', digest: 'x' } }] },
    ],
    [
      'containers.main.image.repository',
      { containers: [{ ...container, image: { ...container.image, repository: 'a b' } }] },
    ],
    ['containers.main.cpuMillis', { containers: [{ ...container, cpuMillis: 501 }] }],
    ['containers.main.memoryBytes', { containers: [{ ...container, memoryBytes: 1 }] }],
    ['containers.main.env', { containers: [{ ...container, env: { 'A=B': '' } }] }],
    ['containers.main.logBytesMax', { containers: [{ ...container, logBytesMax: 0 }] }],
    ['interfaces', { interfaces: [link, link] }],
    ['interfaces.name', { interfaces: [{ ...link, name: 'lo' }] }],
    [
      'interfaces.hostInterface',
      { interfaces: [{ ...link, hostInterface: 'longer-than-fifteen' }] },
    ],
    ['interfaces.hostInterface', { interfaces: [{ ...link, hostInterface: 'a b' }] }],
    ['interfaces.mac', { interfaces: [{ ...link, mac: 'x' }] }],
    ['interfaces.addressWithPrefix', { interfaces: [{ ...link, addressWithPrefix: '10.0.0.1' }] }],
    [
      'interfaces.addressWithPrefix',
      { interfaces: [{ ...link, addressWithPrefix: '10.0.0.1/33' }] },
    ],
    ['interfaces.gateway', { interfaces: [{ ...link, gateway: '10.0.0.1\nlink del lo' }] }],
    ['interfaces.mtu', { interfaces: [{ ...link, mtu: 100 }] }],
    ['dns', { dns: ['name'] }],
  ] satisfies [string, Partial<SetSpec>][]) {
    assert.throws(
      () => checkSpec({ ...SPEC, ...change }),
      (error: { code?: unknown; details?: { field?: unknown } }) => {
        assert.equal(error.code, 'INVALID_INPUT')
        assert.equal(error.details?.field, field)
        return true
      },
    )
  }
})
