import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkSpec } from '../drivers/set/spec-rules.ts'
import { testContainer, testSet } from '../testing/wanted.ts'
import { sameInterfaces, specOf } from './set-spec.ts'

const eth0 = {
  name: 'eth0',
  hostInterface: 'np000000000001',
  mac: '0a:00:00:00:00:01',
  addressWithPrefix: '10.0.0.5/24',
  gateway: '10.0.0.1',
  mtu: 1_450,
}

test('a specification is one that drivers take', () => {
  const command = ['sh', '-c', 'true']
  const spec = specOf(testSet({ containers: [testContainer({ command })] }), [eth0])
  checkSpec(spec)
  assert.deepEqual(spec.containers[0]?.command, command)
  assert.ok(!('command' in (specOf(testSet(), [eth0]).containers[0] ?? {})))
})

test('interfaces are the same only if every field is, in the same order', () => {
  assert.ok(sameInterfaces([], []))
  assert.ok(
    sameInterfaces([eth0, { ...eth0, name: 'eth1' }], [{ ...eth0 }, { ...eth0, name: 'eth1' }]),
  )
  assert.ok(!sameInterfaces([eth0, { ...eth0, name: 'eth1' }], [{ ...eth0, name: 'eth1' }, eth0]))
  assert.ok(!sameInterfaces([eth0], []))
  assert.ok(!sameInterfaces([], [eth0]))
  for (const field of Object.keys(eth0))
    assert.ok(!sameInterfaces([eth0], [{ ...eth0, [field]: 'other' }]), field)
})

test('its hash changes with what runs and with each restart that a user asks for, and with nothing else', () => {
  const hash = (change: Parameters<typeof testSet>[0], link = eth0): string =>
    specOf(testSet(change), [link]).specHash
  const same = hash({})
  assert.equal(hash({ generation: 7, run: 'stopped', epoch: 2 }), same)
  assert.equal(
    hash({ containers: [testContainer({ restart: { policy: 'never', backoffMaxMs: 100 } })] }),
    same,
  )
  assert.notEqual(hash({ restartCount: 1 }), same)
  assert.notEqual(hash({ containers: [testContainer({ env: { A: '1' } })] }), same)
  assert.notEqual(hash({}, { ...eth0, addressWithPrefix: '10.0.0.6/24' }), same)
})
