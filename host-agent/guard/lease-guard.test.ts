// Proves when the lease guard ends what, that it trusts no record that is not whole, and what agent and guard tell each other.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { seededRandom } from '@nubo/base'
import { openGuardFiles } from './guard-files.ts'
import {
  BEAT_FILE,
  formatBeat,
  formatLease,
  GUARD_ENDED_PERIOD_MS,
  GUARD_MARGIN_MS,
  GUARD_PERIOD_MS,
  GUARD_SILENT_MAX_MS,
  judgeLease,
  LEASE_FILE,
  LeaseGuard,
  openMachine,
  parseLease,
  readWatched,
  STOPS_WITHIN_MS,
  WATCHED_FOLDER,
} from './lease-guard.ts'

const bootId = 'a'.repeat(32)
const lease = formatLease({ bootId, untilMs: 30_000 })

describe('the record of a lease', () => {
  test('ends by its time, by another boot, or by not being there', () => {
    const judge = (text: string | undefined, atMs: number, boot = bootId) =>
      judgeLease(text, { bootId: boot, atMs })
    assert.equal(judge(lease, 29_999), 'lasts')
    assert.equal(judge(lease, 30_000), 'ending')
    assert.equal(judge(lease, 30_000 + GUARD_MARGIN_MS - 1), 'ending')
    assert.equal(judge(lease, 30_000 + GUARD_MARGIN_MS), 'ended')
    assert.equal(judge(lease, 0, 'b'.repeat(32)), 'ended')
    assert.equal(judge(undefined, 0), 'ended')
  })

  test('is refused when any byte of it differs', () => {
    const random = seededRandom(3)
    for (let at = 0; at < lease.trimEnd().length; at++) {
      const other = String.fromCharCode(33 + Math.floor(random.fraction() * 90))
      const text = lease.slice(0, at) + other + lease.slice(at + 1)
      if (text !== lease) assert.equal(parseLease(text), undefined, `byte ${at}`)
    }
    for (const text of [
      '',
      lease.slice(0, -1),
      `${lease}x`,
      lease.slice(0, 80),
      formatBeat({ bootId, pid: 1, atMs: 1 }),
    ])
      assert.equal(judgeLease(text, { bootId, atMs: 0 }), 'damaged')
    // Half of one renewal and half of the next.
    const next = formatLease({ bootId, untilMs: 912_345.6 })
    assert.equal(parseLease(lease.slice(0, 48) + next.slice(48)), undefined)
  })
})

describe('the guard', () => {
  function make() {
    const state = { atMs: 0, text: lease as string | undefined, killed: [] as string[], beats: 0 }
    const guard = new LeaseGuard(
      {
        bootId,
        nowMs: () => state.atMs,
        readLease: () => state.text,
        watched: () => ['/nubo/set-1', '/nubo/set-2'],
        kill: (cgroup) => state.killed.push(cgroup),
        beat: () => (state.beats += 1),
      },
      () => undefined,
    )
    return { state, guard }
  }

  test('leaves everything alone while the lease lasts, and the agent its moment', () => {
    const { state, guard } = make()
    assert.equal(guard.look().againInMs, GUARD_PERIOD_MS)
    state.atMs = 30_000
    assert.equal(guard.look().againInMs, GUARD_ENDED_PERIOD_MS)
    assert.deepEqual([state.killed, state.beats], [[], 2])
  })

  test('then ends what is watched, again and again, until the lease is renewed', () => {
    const { state, guard } = make()
    state.atMs = 30_000 + GUARD_MARGIN_MS
    for (let look = 0; look < 3; look++) assert.equal(guard.look().againInMs, GUARD_ENDED_PERIOD_MS)
    assert.equal(state.killed.length, 6)
    state.text = formatLease({ bootId, untilMs: 80_000 })
    guard.look()
    assert.equal(state.killed.length, 6)
  })

  test('takes a damaged record for ended at the second look, since one may be just being written', () => {
    const { state, guard } = make()
    state.text = lease.replace('3', '4')
    guard.look()
    assert.deepEqual(state.killed, [])
    guard.look()
    assert.equal(state.killed.length, 2)
    state.text = lease
    guard.look()
    state.text = ''
    guard.look()
    assert.equal(state.killed.length, 2)
  })

  test('keeps its promise at the worst moment of its periods', () => {
    for (let offsetMs = 0; offsetMs < GUARD_PERIOD_MS; offsetMs += 50) {
      const { state, guard } = make()
      state.atMs = 29_000 + offsetMs
      while (state.killed.length === 0) state.atMs += guard.look().againInMs
      assert.ok(state.atMs <= 30_000 + STOPS_WITHIN_MS, String(offsetMs))
    }
  })
})

describe('the folder of agent and guard', () => {
  function open(t: TestContext) {
    const folder = mkdtempSync(path.join(tmpdir(), 'nt-guard-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const clock = { nowMs: 1_000 }
    const files = (boot = bootId) =>
      openGuardFiles({
        folder,
        bootId: boot,
        nowMs: () => clock.nowMs,
        cgroupOf: (setId) => `/nubo/h1/set-${setId}`,
      })
    return { folder, clock, files }
  }

  test('a lease outlives the agent, in its boot', (t) => {
    const { folder, files } = open(t)
    assert.equal(files().load(), 'none')
    files().save(31_000)
    files().save(33_000.5)
    assert.equal(files().load(), 33_000.5)
    assert.equal(files('b'.repeat(32)).load(), 'none')
    assert.equal(statSync(path.join(folder, LEASE_FILE)).mode & 0o777, 0o600)
    writeFileSync(path.join(folder, LEASE_FILE), 'nonsense')
    assert.equal(files().load(), 'damaged')
    files().save(34_000)
    assert.equal(files().load(), 34_000)
  })

  test('sets are watched over lives of the agent, and an entry that is not whole is written anew', (t) => {
    const { folder, files } = open(t)
    const first = files()
    first.watch('one')
    first.watch('two')
    first.watch('one')
    const later = files()
    later.unwatch('two')
    later.unwatch('three')
    assert.deepEqual(readWatched(folder), [['one', '/nubo/h1/set-one']])
    for (const torn of ['', '/nu', '/', '../..', '/a/../b', 'nubo/h1']) {
      writeFileSync(path.join(folder, WATCHED_FOLDER, 'one'), torn)
      assert.deepEqual(readWatched(folder), [])
      files().watch('one')
      assert.deepEqual(readWatched(folder), [['one', '/nubo/h1/set-one']])
    }
  })

  test('the guard counts only while it runs and looks', (t) => {
    const { folder, clock, files } = open(t)
    assert.equal(files().stopsWithinMs(), null)
    const beat = (pid: number, boot = bootId) =>
      writeFileSync(path.join(folder, BEAT_FILE), formatBeat({ bootId: boot, pid, atMs: 1_000 }))
    beat(process.pid)
    assert.equal(files().stopsWithinMs(), STOPS_WITHIN_MS)
    clock.nowMs += GUARD_SILENT_MAX_MS + 1
    assert.equal(files().stopsWithinMs(), null)
    clock.nowMs = 1_000
    beat(2 ** 30)
    assert.equal(files().stopsWithinMs(), null)
    beat(process.pid, 'b'.repeat(32))
    assert.equal(files().stopsWithinMs(), null)
  })

  test('the guard ends every process of a cgroup and below, in every tree, and no other', (t) => {
    const { folder, files } = open(t)
    for (const [version, trees] of [
      [1, ['pids', 'memory']],
      [2, ['']],
    ] as const) {
      const root = path.join(folder, `v${version}`)
      const put = (tree: string, cgroup: string, pids: string): void => {
        mkdirSync(path.join(root, tree, cgroup), { recursive: true })
        writeFileSync(path.join(root, tree, cgroup, 'cgroup.procs'), pids)
      }
      for (const tree of trees) {
        put(tree, 'nubo/h1/set-one', '')
        put(tree, 'nubo/h1/set-one/main', '100\n101\n')
        put(tree, 'nubo/h1/set-local', '200\n')
      }
      put(trees[0], 'nubo/h1/set-one/late', '102\n')
      if (version === 2) {
        writeFileSync(path.join(root, 'cgroup.controllers'), '')
        writeFileSync(path.join(root, 'nubo/h1/set-one/cgroup.kill'), '')
      }
      files().watch('one')
      const killed = new Set<number>()
      const machine = openMachine({
        folder,
        bootId,
        pid: 1,
        kill: (pid) => killed.add(pid),
        cgroupRoot: root,
      })
      for (const cgroup of machine.watched()) assert.equal(machine.kill(cgroup), 3)
      assert.deepEqual(
        [...killed].toSorted((a, b) => a - b),
        [100, 101, 102],
      )
      assert.equal(machine.kill('/nubo/h1/set-gone'), 0)
      if (version === 2)
        assert.equal(readFileSync(path.join(root, 'nubo/h1/set-one/cgroup.kill'), 'utf8'), '1')
    }
  })
})
