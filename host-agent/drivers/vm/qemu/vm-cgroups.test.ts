// The cgroups of VMs on both versions, against folders that stand for the kernel's.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { VmCgroups } from './vm-cgroups.ts'

const LIMITS = { cpus: 2, memoryBytes: 2 ** 30, pidsMax: 512 }

/** A folder with these files in it. */
function rootWith(t: TestContext, ...files: string[]): string {
  const root = mkdtempSync(path.join(tmpdir(), 'vm-cgroups-'))
  t.after(() => rmSync(root, { recursive: true }))
  for (const file of files) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    writeFileSync(path.join(root, file), '')
  }
  return root
}

const cgroupsIn = (root: string): VmCgroups =>
  new VmCgroups({ parent: '/nubo/h1', clock: new VirtualClock(), root })

test('v1: one folder for each controller that there is', async (t) => {
  const below = 'nubo/h1/vm-a'
  const root = rootWith(
    t,
    `memory/${below}/memory.limit_in_bytes`,
    `pids/${below}/pids.max`,
    `blkio/${below}/blkio.weight`,
  )
  const cgroups = cgroupsIn(root)
  cgroups.check()
  assert.deepEqual(await cgroups.ensure('a', LIMITS), [
    path.join(root, 'memory', below),
    path.join(root, 'pids', below),
  ])
  const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')
  assert.equal(read(`memory/${below}/memory.limit_in_bytes`), String(2 ** 30))
  assert.equal(read(`pids/${below}/pids.max`), '512')
  assert.deepEqual(await cgroups.list(), ['a'])
  writeFileSync(path.join(root, `pids/${below}/cgroup.procs`), '12\n34\n')
  writeFileSync(path.join(root, `memory/${below}/cgroup.procs`), '34\n')
  assert.deepEqual(new Set(await cgroups.pids('a')), new Set([12, 34]))
  assert.deepEqual(await cgroups.pids('b'), [])
})

test('v2: one folder, to which every controller is handed down', async (t) => {
  const below = 'nubo/h1/vm-a'
  const root = rootWith(
    t,
    'cgroup.controllers',
    `${below}/memory.max`,
    `${below}/memory.swap.max`,
    `${below}/pids.max`,
    `${below}/cpu.weight`,
  )
  const cgroups = cgroupsIn(root)
  assert.deepEqual(await cgroups.ensure('a', LIMITS), [path.join(root, below)])
  const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')
  assert.equal(read('nubo/h1/cgroup.subtree_control'), '+cpu')
  assert.equal(existsSync(path.join(root, below, 'cgroup.subtree_control')), false)
  assert.equal(read(`${below}/memory.max`), String(2 ** 30))
  assert.equal(read(`${below}/memory.swap.max`), '0')
  assert.equal(read(`${below}/cpu.weight`), '79')
  assert.deepEqual(await cgroups.list(), ['a'])
})

test('removing takes every hierarchy, also those that others have made, and can be repeated', async (t) => {
  const root = rootWith(t, 'memory/x', 'pids/x', 'blkio/x')
  const cgroups = cgroupsIn(root)
  await cgroups.ensure('a', LIMITS)
  mkdirSync(path.join(root, 'blkio/nubo/h1/vm-a'), { recursive: true })
  await cgroups.remove('a')
  await cgroups.remove('a')
  for (const name of ['memory', 'pids', 'blkio'])
    assert.equal(existsSync(path.join(root, name, 'nubo/h1/vm-a')), false, name)
})

test('a kernel without cgroups is refused, and so is a parent that leads elsewhere', (t) => {
  assert.throws(() => cgroupsIn(rootWith(t)).check(), { code: 'SETUP_FAILED' })
  for (const parent of ['nubo', '/nubo/../x', '/'])
    assert.throws(() => new VmCgroups({ parent, clock: new VirtualClock() }), {
      code: 'INVALID_INPUT',
    })
})
