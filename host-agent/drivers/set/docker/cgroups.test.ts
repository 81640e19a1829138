import assert from 'node:assert/strict'
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { cpuShares, cpuWeight, quotaUs, SetCgroups } from './cgroups.ts'

const LIMITS = { cpuMillis: 500, memoryBytes: 64 * 2 ** 20, pidsMax: 100 }

/** A folder with the files that the kernel would have there. */
function fakeRoot(
  t: TestContext,
  files: Readonly<Record<string, string>>,
): (file: string) => string {
  const root = mkdtempSync(path.join(tmpdir(), 'ntc'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    writeFileSync(path.join(root, file), text)
  }
  return (file) => (file === '' ? root : readFileSync(path.join(root, file), 'utf8'))
}

test('v1: each controller gets its limits in its own hierarchy', async (t) => {
  const read = fakeRoot(t, { 'cpu/tasks': '', 'memory/tasks': '', 'pids/tasks': '' })
  const cgroups = new SetCgroups({ parent: '/nubo/h1', root: read('') })
  assert.equal(cgroups.version, 1)
  assert.equal(cgroups.parentOf('s1'), '/nubo/h1/set-s1')
  await cgroups.ensure('s1', LIMITS)
  assert.equal(read('cpu/nubo/h1/set-s1/cpu.cfs_period_us'), '100000')
  assert.equal(read('cpu/nubo/h1/set-s1/cpu.cfs_quota_us'), '50000')
  assert.equal(read('cpu/nubo/h1/set-s1/cpu.shares'), '512')
  assert.equal(read('memory/nubo/h1/set-s1/memory.limit_in_bytes'), '67108864')
  assert.equal(read('pids/nubo/h1/set-s1/pids.max'), '100')
  assert.deepEqual(await cgroups.list(), ['s1'])
})

test('v1: memory with swap is never written below memory alone, up or down', async (t) => {
  const directory = 'memory/n/set-s1'
  const read = fakeRoot(t, {
    [`${directory}/memory.limit_in_bytes`]: '100',
    [`${directory}/memory.memsw.limit_in_bytes`]: '100',
    'cpu/tasks': '',
    'pids/tasks': '',
  })
  const cgroups = new SetCgroups({ parent: '/n', root: read('') })
  for (const memoryBytes of [2 ** 30, 2 ** 20]) {
    await cgroups.ensure('s1', { ...LIMITS, memoryBytes })
    assert.equal(read(`${directory}/memory.limit_in_bytes`), String(memoryBytes))
    assert.equal(read(`${directory}/memory.memsw.limit_in_bytes`), String(memoryBytes))
  }
})

test('v2: one directory has all limits, and everything above hands the controllers down', async (t) => {
  const read = fakeRoot(t, {
    'cgroup.controllers': 'cpu memory pids',
    'nubo/h1/set-s1/memory.swap.max': 'max',
  })
  const cgroups = new SetCgroups({ parent: '/nubo/h1', root: read('') })
  assert.equal(cgroups.version, 2)
  await cgroups.ensure('s1', LIMITS)
  for (const above of ['', 'nubo/', 'nubo/h1/']) {
    assert.equal(read(`${above}cgroup.subtree_control`), '+cpu +memory +pids')
  }
  assert.equal(read('nubo/h1/set-s1/cpu.max'), '50000 100000')
  assert.equal(read('nubo/h1/set-s1/cpu.weight'), String(cpuWeight(500)))
  assert.equal(read('nubo/h1/set-s1/memory.max'), '67108864')
  assert.equal(read('nubo/h1/set-s1/memory.swap.max'), '0')
  assert.equal(read('nubo/h1/set-s1/pids.max'), '100')
  assert.deepEqual(await cgroups.list(), ['s1'])
})

test('killed processes are counted per container, and an absent container has no count', async (t) => {
  const v1 = fakeRoot(t, {
    'memory/n/set-s1/c1/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n',
    'memory/n/set-s1/c2/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\n',
  })
  const legacy = new SetCgroups({ parent: '/n', root: v1('') })
  assert.equal(await legacy.oomKills('s1', 'c1'), 3)
  assert.equal(await legacy.oomKills('s1', 'c2'), 0)
  assert.equal(await legacy.oomKills('s1', 'c3'), null)
  const v2 = fakeRoot(t, {
    'cgroup.controllers': '',
    'n/set-s1/c1/memory.events': 'low 0\noom 9\noom_kill 2\noom_group_kill 0\n',
  })
  assert.equal(await new SetCgroups({ parent: '/n', root: v2('') }).oomKills('s1', 'c1'), 2)
})

test('removing what is not there is done', async (t) => {
  const read = fakeRoot(t, { 'cpu/tasks': '' })
  const cgroups = new SetCgroups({ parent: '/n', root: read('') })
  assert.deepEqual(await cgroups.list(), [])
  await cgroups.remove('s1')
})

test('a limit that cannot be written names the file', async (t) => {
  const read = fakeRoot(t, { 'cpu/tasks': '', 'memory/tasks': '', 'pids/n/set-s1/pids.max/x': '' })
  const cgroups = new SetCgroups({ parent: '/n', root: read('') })
  await assert.rejects(cgroups.ensure('s1', LIMITS), {
    code: 'CONTAINER_START_FAILED',
    message: /pids\.max = 100/,
  })
})

test('a parent that leaves the hierarchy is refused', () => {
  for (const parent of ['', '/', 'nubo', '/a/../b', '/a//b', '/a b', '/a/.']) {
    assert.throws(() => new SetCgroups({ parent }), { code: 'INVALID_INPUT' }, parent)
  }
})

test('cores become quotas, shares and weights', () => {
  assert.deepEqual([10, 500, 2_000].map(quotaUs), [1_000, 50_000, 200_000])
  assert.deepEqual([1, 500, 2_000].map(cpuShares), [2, 512, 2_048])
  assert.deepEqual([1, 1_000, 1_000_000].map(cpuWeight), [1, 39, 10_000])
})
