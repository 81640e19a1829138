/**
 * The lease guard: ends what may no longer run on this host when nobody else does, because the agent has died or hangs,
 * or the container engine does. It knows a folder of small files and the kernel's cgroups, and nothing else.
 *
 * This file imports nothing of ours, and nothing but what every Node process has loaded: main.ts runs it alone, so that
 * the guard stays small.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
  type Dirent,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

/** How often it looks while the lease lasts, and once it has ended. */
export const GUARD_PERIOD_MS = 1_000
export const GUARD_ENDED_PERIOD_MS = 250
/** From the end of the lease: so long the agent has to end its sets itself, more politely. */
export const GUARD_MARGIN_MS = 5_000
/**
 * Within this time after the end of a lease nothing of an `elsewhere` set runs: the margin, one period until the guard
 * looks, one more because a record that looks torn is read again, and a second for ending what is there (a kill takes
 * milliseconds, and is repeated every 250 ms for what starts meanwhile).
 */
export const STOPS_WITHIN_MS = GUARD_MARGIN_MS + 2 * GUARD_PERIOD_MS + 1_000
/** A guard that has not looked for this long is no guarantee. */
export const GUARD_SILENT_MAX_MS = 3_500

/** In the guard's folder. */
export const LEASE_FILE = 'lease'
export const BEAT_FILE = 'guard'
export const WATCHED_FOLDER = 'sets'

/**
 * Records have a fixed size and are overwritten in place, so that writing one needs no room on the disk. Nobody waits for
 * stable storage: a record counts in the boot that it names only, and what the page cache loses is lost with a boot.
 */
const RECORD_BYTES = 160

/** Times are milliseconds since the boot, and count while the machine sleeps (CLOCK_BOOTTIME). */
export interface LeaseRecord {
  readonly bootId: string
  readonly untilMs: number
}

export interface BeatRecord {
  readonly bootId: string
  readonly pid: number
  readonly atMs: number
}

export function formatLease(lease: LeaseRecord): string {
  return formatRecord('lease', [lease.bootId, lease.untilMs.toFixed(1)])
}

/** Undefined if it is damaged, or half of it is of another time. */
export function parseLease(text: string): LeaseRecord | undefined {
  const [bootId, untilText] = parseRecord('lease', text) ?? []
  const untilMs = Number(untilText)
  return bootId === undefined || !Number.isFinite(untilMs) ? undefined : { bootId, untilMs }
}

export function formatBeat(beat: BeatRecord): string {
  return formatRecord('guard', [beat.bootId, String(beat.pid), beat.atMs.toFixed(1)])
}

export function parseBeat(text: string): BeatRecord | undefined {
  const [bootId, pidText, atText] = parseRecord('guard', text) ?? []
  const [pid, atMs] = [Number(pidText), Number(atText)]
  const isWhole = bootId !== undefined && Number.isInteger(pid) && Number.isFinite(atMs)
  return isWhole ? { bootId, pid, atMs } : undefined
}

function formatRecord(kind: string, fields: readonly string[]): string {
  const body = [`nubo-${kind}`, '1', ...fields].join(' ')
  return `${`${body} ${checkOf(body)}`.padEnd(RECORD_BYTES - 1)}\n`
}

function parseRecord(kind: string, text: string): string[] | undefined {
  if (text.length !== RECORD_BYTES) return undefined
  const words = text.trimEnd().split(' ')
  const check = words.pop()
  const [name, version, ...fields] = words
  const isOurs = name === `nubo-${kind}` && version === '1'
  return isOurs && check === checkOf(words.join(' ')) ? fields : undefined
}

function checkOf(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}

/** What one look at the record of the lease tells. A record of another boot has ended with that boot. */
export function judgeLease(
  text: string | undefined,
  now: { readonly bootId: string; readonly atMs: number },
): 'lasts' | 'ending' | 'ended' | 'damaged' {
  if (text === undefined) return 'ended'
  const lease = parseLease(text)
  if (lease === undefined) return 'damaged'
  if (lease.bootId !== now.bootId) return 'ended'
  if (now.atMs < lease.untilMs) return 'lasts'
  return now.atMs < lease.untilMs + GUARD_MARGIN_MS ? 'ending' : 'ended'
}

/** What the guard works on; the real one is `openMachine`. Nothing of it waits for the agent or an engine. */
export interface GuardMachine {
  readonly bootId: string
  nowMs(): number
  /** Undefined: there is none. */
  readLease(): string | undefined
  /** Cgroups of `elsewhere` sets, as paths below the root of the cgroups. */
  watched(): readonly string[]
  /** Sends SIGKILL to everything in the cgroup and below; how many processes it found. */
  kill(cgroup: string): number
  beat(): void
}

/** Looks once; `sayOnce` gets a line when something has changed. Returns when to look again. */
export class LeaseGuard {
  readonly #machine: GuardMachine
  readonly #say: (line: string) => void
  #was: ReturnType<typeof judgeLease> | undefined
  #isDamagedTwice = false

  constructor(machine: GuardMachine, say: (line: string) => void) {
    this.#machine = machine
    this.#say = say
  }

  look(): { readonly againInMs: number } {
    const machine = this.#machine
    const { bootId } = machine
    const lease = judgeLease(machine.readLease(), { bootId, atMs: machine.nowMs() })
    if (lease !== this.#was) this.#say(words[lease])
    // One that is being written may look torn; the next look tells.
    const isOver = lease === 'ended' || (lease === 'damaged' && this.#isDamagedTwice)
    this.#isDamagedTwice = lease === 'damaged'
    this.#was = lease
    if (isOver) {
      let killed = 0
      for (const cgroup of machine.watched()) killed += machine.kill(cgroup)
      if (killed > 0) this.#say(`ended ${killed} processes that may no longer run here`)
    }
    // Only now: a guard that cannot look is no guard.
    machine.beat()
    return { againInMs: lease === 'lasts' ? GUARD_PERIOD_MS : GUARD_ENDED_PERIOD_MS }
  }
}

const words = {
  lasts: 'the lease lasts',
  ending: 'the lease has ended; the agent has a moment to end its sets',
  ended: 'there is no lease; sets that may run elsewhere are kept from running here',
  damaged: 'the record of the lease is damaged, which counts as ended',
} as const

/** The whole process of the guard, for as long as it lives. A look that fails is not a beat, and is tried again soon. */
export function runGuard(options: { readonly folder: string; readonly bootId: string }): void {
  const machine = openMachine({
    ...options,
    pid: process.pid,
    kill: (pid) => {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended.
      }
    },
  })
  const say = (line: string): void => {
    process.stdout.write(`${Math.round(machine.nowMs())} ms since the boot: ${line}\n`)
  }
  const guard = new LeaseGuard(machine, say)
  const look = (): void => {
    let againInMs = GUARD_ENDED_PERIOD_MS
    try {
      againInMs = guard.look().againInMs
    } catch (error) {
      say(`a look failed: ${error instanceof Error ? error.message : String(error)}`)
    }
    setTimeout(look, againInMs)
  }
  look()
}

/** The kernel and the files of the agent. */
export function openMachine(options: {
  readonly folder: string
  readonly bootId: string
  readonly pid: number
  readonly kill: (pid: number) => void
  readonly cgroupRoot?: string
}): GuardMachine {
  const { folder, bootId, pid, cgroupRoot = '/sys/fs/cgroup' } = options
  return {
    bootId,
    nowMs: readUptimeMs,
    readLease: () => readRecord(join(folder, LEASE_FILE)),
    watched: () => readWatched(folder).map(([, cgroup]) => cgroup),
    kill: (cgroup) => killCgroup({ root: cgroupRoot, cgroup, kill: options.kill }),
    beat: () =>
      writeRecord(join(folder, BEAT_FILE), formatBeat({ bootId, pid, atMs: readUptimeMs() })),
  }
}

/** CLOCK_BOOTTIME, in steps of 10 ms. */
export function readUptimeMs(): number {
  return Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * 1_000
}

/** Undefined if there is no such file. */
export function readRecord(file: string): string | undefined {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  try {
    const bytes = Buffer.alloc(RECORD_BYTES)
    const length = readSync(descriptor, bytes, 0, RECORD_BYTES, 0)
    const isLonger = fstatSync(descriptor).size > RECORD_BYTES
    return isLonger ? '' : bytes.toString('latin1', 0, length)
  } finally {
    closeSync(descriptor)
  }
}

/** In place, by one write; makes the file if there is none. */
export function writeRecord(file: string, record: string): void {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r+')
  } catch (error) {
    if (!isMissing(error)) throw error
    descriptor = openSync(file, 'w', 0o600)
  }
  try {
    writeSync(descriptor, record, 0, 'latin1')
  } finally {
    closeSync(descriptor)
  }
}

/** Sets that are watched and their cgroups. What is no plain path of a cgroup is left out. */
export function readWatched(folder: string): [setId: string, cgroup: string][] {
  const watched: [string, string][] = []
  for (const { name } of entriesOf(join(folder, WATCHED_FOLDER))) {
    const cgroup = readIfThere(join(folder, WATCHED_FOLDER, name)).trimEnd()
    if (/^(\/[\w.-]+){2,}$/.test(cgroup) && !cgroup.includes('..')) watched.push([name, cgroup])
  }
  return watched
}

/**
 * Version 1 of cgroups has one tree per controller, and containers are in each; version 2 has one tree that can end a whole
 * branch at once.
 */
function killCgroup(options: {
  readonly root: string
  readonly cgroup: string
  readonly kill: (pid: number) => void
}): number {
  const { root, cgroup, kill } = options
  const isUnified = existsSync(join(root, 'cgroup.controllers'))
  const roots = isUnified ? [root] : foldersIn(root).map((name) => join(root, name))
  const folders = roots.map((tree) => join(tree, cgroup)).filter((folder) => existsSync(folder))
  const pids = new Set(folders.flatMap(processesBelow))
  if (pids.size === 0) return 0
  for (const folder of folders) {
    writeIfThere(join(folder, 'cgroup.kill'), '1')
    // What forks faster than it is killed is stopped first.
    writeIfThere(join(folder, 'freezer.state'), 'FROZEN')
  }
  for (const pid of new Set([...pids, ...folders.flatMap(processesBelow)])) kill(pid)
  // A frozen process acts on its signals only once it is thawed.
  for (const folder of folders) writeIfThere(join(folder, 'freezer.state'), 'THAWED')
  return pids.size
}

function processesBelow(folder: string): number[] {
  const pids = readIfThere(join(folder, 'cgroup.procs'))
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 1)
  return [...pids, ...foldersIn(folder).flatMap((name) => processesBelow(join(folder, name)))]
}

/** Nothing if it is gone, or no folder. The root of version 1 has links among its trees (`cpu` → `cpu,cpuacct`). */
function foldersIn(folder: string): string[] {
  return entriesOf(folder)
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => name)
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    return []
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    // Gone meanwhile.
    return ''
  }
}

function writeIfThere(file: string, text: string): void {
  try {
    if (existsSync(file)) writeFileSync(file, text)
  } catch {
    // Gone meanwhile; what is left of it is found by the next look.
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
