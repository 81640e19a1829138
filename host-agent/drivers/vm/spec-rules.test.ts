// What a VM's specification must be, and that its hash tells every other one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { checkVmSpec, vmSpecHash } from './spec-rules.ts'
import { plainVmSpec } from './testing/plain-vm-spec.ts'
import type { VmSpec } from './vm-driver.ts'

const SPEC = plainVmSpec({
  interfaces: [{ hostInterface: 'v1', mac: '0a:00:00:00:00:05', mtuBytes: 1_450 }],
})

test('the hash depends on the content, not on the order of keys, the VM or its epoch', () => {
  const hash = vmSpecHash(SPEC)
  assert.match(hash, /^[0-9a-f]{32}$/)
  assert.equal(vmSpecHash(Object.fromEntries(Object.entries(SPEC).toReversed()) as never), hash)
  const other: VmSpec = { ...SPEC, vmId: 'x', epoch: 9, specHash: 'y' }
  assert.equal(vmSpecHash(other), hash)
  for (const change of [
    { cpus: 2 },
    { name: 'other' },
    { boot: { from: 'kernel', commandLine: 'quiet' } },
    { rootDisk: null },
    { interfaces: [] },
  ] satisfies Partial<VmSpec>[])
    assert.notEqual(vmSpecHash({ ...SPEC, ...change }), hash, JSON.stringify(change))
})

test('what can be is taken, what cannot is refused with its field', () => {
  checkVmSpec(SPEC)
  checkVmSpec({ ...SPEC, rootDisk: null, boot: { from: 'kernel', commandLine: 'a=b,c "d"' } })
  const [link] = SPEC.interfaces
  assert.ok(link !== undefined)
  const refused: [Partial<VmSpec>, string][] = [
    [{ vmId: '../x' }, 'vmId'],
    [{ epoch: -1 }, 'epoch'],
    [{ epoch: 1.5 }, 'epoch'],
    [{ specHash: '' }, 'specHash'],
    [{ name: 'a,b=c' }, 'name'],
    [{ name: '-a' }, 'name'],
    [{ cpus: 0 }, 'cpus'],
    [{ cpus: 65 }, 'cpus'],
    [{ cpus: 1.5 }, 'cpus'],
    [{ memoryBytes: 2 ** 20 }, 'memoryBytes'],
    [{ memoryBytes: 2 ** 27 + 1 }, 'memoryBytes'],
    [{ memoryBytes: 2 ** 43 }, 'memoryBytes'],
    [{ image: { repository: 'a', digest: 'latest' } }, 'image.digest'],
    [{ image: { ...SPEC.image, repository: '-a' } }, 'image.repository'],
    [{ boot: { from: 'kernel', commandLine: 'a\0b' } }, 'boot.commandLine'],
    [{ boot: { from: 'kernel', commandLine: 'a\nb' } }, 'boot.commandLine'],
    [{ boot: { from: 'kernel', commandLine: 'a'.repeat(2_001) } }, 'boot.commandLine'],
    [{ rootDisk: null }, 'rootDisk'],
    [{ rootDisk: { sizeBytes: 1_000 } }, 'rootDisk.sizeBytes'],
    [{ rootDisk: { sizeBytes: 2 ** 60 } }, 'rootDisk.sizeBytes'],
    [{ interfaces: [link, link] }, 'interfaces'],
    [{ interfaces: [link, { ...link, hostInterface: 'v2' }] }, 'interfaces'],
    [{ interfaces: [{ ...link, hostInterface: 'x\nlink' }] }, 'interfaces.hostInterface'],
    [{ interfaces: [{ ...link, hostInterface: 'lo' }] }, 'interfaces.hostInterface'],
    [{ interfaces: [{ ...link, hostInterface: 'a,b' }] }, 'interfaces.hostInterface'],
    [{ interfaces: [{ ...link, mac: 'here' }] }, 'interfaces.mac'],
    [{ interfaces: [{ ...link, mtuBytes: 60 }] }, 'interfaces.mtuBytes'],
  ]
  for (const [change, field] of refused) {
    assert.throws(
      () => checkVmSpec({ ...SPEC, ...change }),
      (error) =>
        error instanceof PlatformError &&
        error.code === 'INVALID_INPUT' &&
        error.details['field'] === field,
      JSON.stringify(change),
    )
  }
})
