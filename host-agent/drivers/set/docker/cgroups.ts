import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, realpath, rmdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError } from '@nubo/base'
import { settleAll } from '../settle-all.ts'

const CGROUP_ROOT = '/sys/fs/cgroup'
/** The kernel counts CPU time per period; Docker's own default. */
export const CPU_PERIOD_US = 100_000
/** A cgroup whose last process has just ended stays busy for a moment. */
const REMOVE_TIMEOUT_MS = 10_000
const REMOVE_RETRY_MS = 20

export interface SetLimits {
  readonly cpuMillis: number
  readonly memoryBytes: number
  readonly pidsMax: number
}

/**
 * The cgroups that hold the containers of a set, so that limits hold for the set as a whole. Docker makes cgroups
 * of containers below, and never removes ours. A parent must exist with its limits before the first container
 * starts: the kernel refuses a container's CPU quota above its parent's.
 *
 * Works on cgroup v1 (one hierarchy per controller, and a v2 one beside them) and on v2.
 */
export class SetCgroups {
  readonly #root: string
  readonly #parent: string
  readonly #version: 1 | 2

  /** `parent` as Docker wants it: `/nubo/h1`, below which each set gets `set-ID`. */
  constructor(options: { readonly parent: string; readonly root?: string }) {
    this.#root = options.root ?? CGROUP_ROOT
    this.#parent = options.parent
    this.#version = existsSync(path.join(this.#root, 'cgroup.controllers')) ? 2 : 1
    const isPlain = /^(\/[\w.-]+)+$/.test(this.#parent)
    if (!isPlain || this.#parent.split('/').some((part) => part === '.' || part === '..')) {
      throw new PlatformError('INVALID_INPUT', { field: 'cgroupParent', value: this.#parent })
    }
  }

  get version(): 1 | 2 {
    return this.#version
  }

  /** The `CgroupParent` of the set's containers. */
  parentOf(setId: string): string {
    return `${this.#parent}/${directoryOf(setId)}`
  }

  /** Makes the set's cgroup with these limits, or changes those of an existing one. Idempotent. */
  async ensure(setId: string, limits: SetLimits): Promise<void> {
    if (this.#version === 2) await this.#ensureUnified(setId, limits)
    else await this.#ensureLegacy(setId, limits)
  }

  /** How many processes of one container the kernel has ended for want of memory; null if the container has no cgroup. */
  async oomKills(setId: string, containerId: string): Promise<number | null> {
    const below = path.join(this.parentOf(setId), containerId)
    const file =
      this.#version === 2
        ? path.join(this.#root, below, 'memory.events')
        : path.join(this.#root, 'memory', below, 'memory.oom_control')
    const text = await readIfThere(file)
    if (text === null) return null
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0)
  }

  /** Ids of the sets that have a cgroup, whether anything runs in it or not. */
  async list(): Promise<string[]> {
    const ids = new Set<string>()
    for (const hierarchy of await this.#hierarchies()) {
      for (const name of await namesIn(path.join(hierarchy, this.#parent))) {
        if (name.startsWith('set-')) ids.add(name.slice('set-'.length))
      }
    }
    return [...ids]
  }

  /**
   * Removes the set's cgroup from every hierarchy. Idempotent. Waits a while for processes that are ending, then
   * rejects with IN_USE: something still runs there.
   */
  async remove(setId: string): Promise<void> {
    const hierarchies = await this.#hierarchies()
    const attempts = Math.ceil(REMOVE_TIMEOUT_MS / REMOVE_RETRY_MS)
    let left = hierarchies.map((hierarchy) => path.join(hierarchy, this.parentOf(setId)))
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const removed = await settleAll(left.map(removeTree))
      left = left.filter((_directory, index) => removed[index] === false)
      if (left.length === 0) return
      await sleep(REMOVE_RETRY_MS)
    }
    throw new PlatformError(
      'IN_USE',
      { setId, cgroups: left },
      { message: `processes of the set are still there: ${left.join(', ')}` },
    )
  }

  async #ensureLegacy(setId: string, limits: SetLimits): Promise<void> {
    const below = this.parentOf(setId)
    const [cpu, memory, pids] = [
      path.join(this.#root, 'cpu', below),
      path.join(this.#root, 'memory', below),
      path.join(this.#root, 'pids', below),
    ]
    await settleAll([
      makeDirectory(cpu).then(async () => {
        await write(cpu, 'cpu.cfs_period_us', CPU_PERIOD_US)
        await write(cpu, 'cpu.cfs_quota_us', quotaUs(limits.cpuMillis))
        await write(cpu, 'cpu.shares', cpuShares(limits.cpuMillis))
      }),
      makeDirectory(memory).then(async () => {
        await writeLegacyMemory(memory, limits.memoryBytes)
      }),
      makeDirectory(pids).then(async () => {
        await write(pids, 'pids.max', limits.pidsMax)
      }),
    ])
  }

  async #ensureUnified(setId: string, limits: SetLimits): Promise<void> {
    const directory = path.join(this.#root, this.parentOf(setId))
    await makeDirectory(directory)
    // A controller works in a cgroup only if every cgroup above hands it down.
    let above = this.#root
    for (const part of this.parentOf(setId).split('/').slice(1)) {
      await write(above, 'cgroup.subtree_control', '+cpu +memory +pids')
      above = path.join(above, part)
    }
    await write(directory, 'cpu.max', `${quotaUs(limits.cpuMillis)} ${CPU_PERIOD_US}`)
    await write(directory, 'cpu.weight', cpuWeight(limits.cpuMillis))
    await write(directory, 'memory.max', limits.memoryBytes)
    await writeIfThere(directory, 'memory.swap.max', 0)
    await write(directory, 'pids.max', limits.pidsMax)
  }

  /** v1: each mount below the root; several names of one mount (`cpu` → `cpu,cpuacct`) count once. */
  async #hierarchies(): Promise<string[]> {
    if (this.#version === 2) return [this.#root]
    const names = await namesIn(this.#root)
    return [
      ...new Set(await Promise.all(names.map((name) => realpath(path.join(this.#root, name))))),
    ]
  }
}

/** CPU time per period in µs. */
export function quotaUs(cpuMillis: number): number {
  return Math.round((cpuMillis * CPU_PERIOD_US) / 1000)
}

/** Weight among neighbours when the CPU is short: 1024 per core, at least the kernel's 2. */
export function cpuShares(cpuMillis: number): number {
  return Math.max(2, Math.round((cpuMillis * 1024) / 1000))
}

/** The same for v2, by the formula that runc uses: [2, 262144] becomes [1, 10000]. */
export function cpuWeight(cpuMillis: number): number {
  const shares = Math.min(262_144, cpuShares(cpuMillis))
  return 1 + Math.floor(((shares - 2) * 9_999) / 262_142)
}

function directoryOf(setId: string): string {
  return `set-${setId}`
}

/** Memory with swap may never be below memory alone, so the order depends on the direction. */
async function writeLegacyMemory(directory: string, bytes: number): Promise<void> {
  const current = Number(
    await readFile(path.join(directory, 'memory.limit_in_bytes'), 'utf8').catch(() => '0'),
  )
  if (bytes > current) await writeIfThere(directory, 'memory.memsw.limit_in_bytes', bytes)
  await write(directory, 'memory.limit_in_bytes', bytes)
  if (bytes <= current) await writeIfThere(directory, 'memory.memsw.limit_in_bytes', bytes)
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
  } catch (cause) {
    throw new PlatformError(
      'CONTAINER_START_FAILED',
      { cgroup: directory },
      { message: 'cannot make a cgroup', cause },
    )
  }
}

async function write(directory: string, file: string, value: string | number): Promise<void> {
  try {
    await writeFile(path.join(directory, file), String(value))
  } catch (cause) {
    throw new PlatformError(
      'CONTAINER_START_FAILED',
      { cgroup: directory, file, value },
      { message: `the kernel refused a limit of the set: ${file} = ${value}`, cause },
    )
  }
}

/** For files that exist only where the kernel accounts for swap. */
async function writeIfThere(
  directory: string,
  file: string,
  value: string | number,
): Promise<void> {
  if (existsSync(path.join(directory, file))) await write(directory, file, value)
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENODEV')) return null
    throw error
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries.filter((entry) => !entry.isFile()).map((entry) => entry.name)
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

/** False if something is still in use. */
async function removeTree(directory: string): Promise<boolean> {
  for (const name of await namesIn(directory)) {
    if (!(await removeTree(path.join(directory, name)))) return false
  }
  try {
    await rmdir(directory)
    return true
  } catch (error) {
    if (isCode(error, 'ENOENT')) return true
    if (isCode(error, 'EBUSY', 'ENOTEMPTY')) return false
    throw error
  }
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.some((code) => code === error.code)
}
