// Proves with the guard's own process and the kernel's cgroups that what outlives the lease is ended, and nothing else.
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBootClock, start, type RunningProgram } from '@nubo/runtime/process'
import { readBootId } from '../boot-id.ts'
import { openGuardFiles } from './guard-files.ts'
import { BEAT_FILE } from './lease-guard.ts'
import { STOPS_WITHIN_MS } from './lease-guard.ts'

const CGROUP_ROOT = '/sys/fs/cgroup'
const DEADLINE_MS = 30_000
const clock = createBootClock()

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadlineMs = clock.monotonicMs() + DEADLINE_MS
  while (!isTrue()) {
    if (clock.monotonicMs() > deadlineMs) assert.fail(`never so: ${what}`)
    await sleep(20)
  }
}

describe('the lease guard', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'nt-guard-'))
  const parent = `/nt-guard-${process.pid}`
  const roots = existsSync(path.join(CGROUP_ROOT, 'cgroup.controllers'))
    ? [CGROUP_ROOT]
    : ['pids', 'freezer'].map((tree) => path.join(CGROUP_ROOT, tree))
  const files = openGuardFiles({
    folder,
    bootId: readBootId({}),
    nowMs: () => clock.monotonicMs(),
    cgroupOf: (setId) => `${parent}/set-${setId}`,
  })
  const programs: RunningProgram[] = []
  const ended = new Set<RunningProgram>()
  let guard: RunningProgram

  const startGuard = (): RunningProgram => {
    const argv = [process.execPath, path.join(import.meta.dirname, 'main.ts'), folder] as const
    const logFile = path.join(folder, 'guard.log')
    const program = start({ argv, env: {}, logFile })
    programs.push(program)
    return program
  }

  /** In a cgroup of its own below the set's, as containers are; it does not care for SIGTERM. */
  const startIn = (setId: string, container: string): RunningProgram => {
    const cgroups = roots.map((root) => path.join(root, parent, `set-${setId}`, container))
    for (const cgroup of cgroups) mkdirSync(cgroup, { recursive: true })
    const argv = ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'] as const
    const logFile = path.join(folder, 'programs.log')
    const program = start({ argv, env: {}, logFile, cgroups })
    programs.push(program)
    void program.exited.then(() => ended.add(program))
    return program
  }

  /** The guard writes down each of its looks. */
  const beats = async (): Promise<void> => {
    const last = readFileSync(path.join(folder, BEAT_FILE), 'latin1')
    await until(
      'it looks once more',
      () => readFileSync(path.join(folder, BEAT_FILE), 'latin1') !== last,
    )
  }

  before(async () => {
    guard = startGuard()
    await until('the guard looks', () => files.stopsWithinMs() !== null)
  })
  after(async () => {
    await Promise.all(programs.map((program) => program.stop({ graceMs: 0 })))
    await until('no process is left in the cgroups', () =>
      roots.every((root) => isEmpty(path.join(root, parent))),
    )
    for (const root of roots) removeTree(path.join(root, parent))
    rmSync(folder, { recursive: true, force: true })
  })

  test('ends what outlives the lease, and what starts after it, until it is renewed; the rest runs on', async () => {
    assert.equal(files.stopsWithinMs(), STOPS_WITHIN_MS)
    files.watch('moving')
    files.save(clock.monotonicMs() + 1_500)
    const first = startIn('moving', 'main')
    const second = startIn('moving', 'beside')
    const local = startIn('local', 'main')
    await until('both ended', () => ended.has(first) && ended.has(second))
    const late = startIn('moving', 'late')
    await until('the late one ended', () => ended.has(late))
    assert.ok(!ended.has(local))
    files.save(clock.monotonicMs() + 60_000)
    const renewed = startIn('moving', 'main')
    // It has read the renewed lease, and looked again.
    for (let look = 0; look < 3; look++) await beats()
    assert.ok(!ended.has(renewed) && !ended.has(local))
  })

  test('is no guarantee while it is stopped or dead, and is one again with its next life', async () => {
    process.kill(guard.pid, 'SIGSTOP')
    await until('a stopped guard is noticed', () => files.stopsWithinMs() === null)
    process.kill(guard.pid, 'SIGCONT')
    await until('it looks again', () => files.stopsWithinMs() !== null)
    process.kill(guard.pid, 'SIGKILL')
    await until('a dead guard is noticed', () => files.stopsWithinMs() === null)
    guard = startGuard()
    await until('the next one looks', () => files.stopsWithinMs() !== null)
  })
})

function isEmpty(cgroup: string): boolean {
  if (!existsSync(cgroup)) return true
  const entries = readdirSync(cgroup, { withFileTypes: true })
  return (
    readFileSync(path.join(cgroup, 'cgroup.procs'), 'latin1') === '' &&
    entries.every((entry) => !entry.isDirectory() || isEmpty(path.join(cgroup, entry.name)))
  )
}

function removeTree(folder: string): void {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(path.join(folder, entry.name))
  rmdirSync(folder)
}
