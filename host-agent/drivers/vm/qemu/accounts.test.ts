// Account numbers: one for each VM, never one for two, never the driver's own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Accounts, unprivileged } from './accounts.ts'

test('each VM gets a number and keeps it; the driver keeps the first', () => {
  const accounts = new Accounts({ base: 100, count: 4 })
  accounts.keep('old', 102)
  assert.deepEqual(
    ['a', 'b', 'a', 'old'].map((vmId) => accounts.of(vmId)),
    [101, 103, 101, 102],
  )
  assert.throws(() => accounts.of('c'), { code: 'VM_START_FAILED' })
  accounts.release('old')
  accounts.release('nobody')
  assert.equal(accounts.of('c'), 102)
})

test('a program without rights cannot get any back, and has at most one group', () => {
  const argv = unprivileged(101, ['program', 'argument'])
  for (const word of ['--reuid=101', '--regid=101', '--clear-groups', '--no-new-privs'])
    assert.ok(argv.includes(word), word)
  assert.deepEqual(argv.slice(-3), ['--', 'program', 'argument'])
  const withGroup = unprivileged(101, ['program'], 7)
  assert.ok(withGroup.includes('--groups=7') && !withGroup.includes('--clear-groups'))
})
