import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, realpath, rmdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { PlatformError, sleep, type Clock } from '@nubo/base'
import { isErrno } from './disk-errors.ts'

const CGROUP_ROOT = '/sys/fs/cgroup'
/** Those that a VM enters on v1, as far as the kernel has them. `freezer` is for whoever switches the host off. */
const LEGACY_CONTROLLERS = ['memory', 'pids', 'cpu', 'freezer']
const UNIFIED_CONTROLLERS = ['memory', 'pids', 'cpu']
/** As sets have it, beside which VMs run: what a processor is worth when the host has too few. */
const SHARES_PER_CPU = 1_024
/** A cgroup whose last process has just ended stays busy for a moment. */
const REMOVE_TIMEOUT_MS = 10_000
const REMOVE_RETRY_MS = 20

export interface VmLimits {
  readonly cpus: number
  readonly memoryBytes: number
  readonly pidsMax: number
}

/** Below the root of the cgroups. */
export function vmCgroup(parent: string, vmId: string): string {
  return `${parent}/vm-${vmId}`
}

/**
 * A cgroup for each VM, on v1 (one hierarchy per controller) and v2. It limits QEMU, and it is how all processes of a VM
 * are found, also one that was started in the moment in which an agent ended: QEMU cannot leave it.
 */
export class VmCgroups {
  readonly #parent: string
  readonly #root: string
  readonly #version: 1 | 2
  readonly #clock: Clock

  constructor(options: { readonly parent: string; readonly clock: Clock; readonly root?: string }) {
    this.#parent = options.parent
    this.#clock = options.clock
    this.#root = options.root ?? CGROUP_ROOT
    this.#version = existsSync(path.join(this.#root, 'cgroup.controllers')) ? 2 : 1
    const isPlain = /^(\/[\w.-]+)+$/.test(this.#parent)
    if (!isPlain || this.#parent.split('/').some((part) => part === '.' || part === '..'))
      throw new PlatformError('INVALID_INPUT', { field: 'cgroupParent', value: this.#parent })
  }

  /** Throws SETUP_FAILED where there is no cgroup to enter. */
  check(): void {
    if (this.#entered('').length > 0) return
    throw new PlatformError(
      'SETUP_FAILED',
      { next: `mount cgroups below ${this.#root}` },
      { message: 'VMs need a cgroup controller, and the kernel shows none' },
    )
  }

  /** Makes the VM's cgroup with these limits. Idempotent. Returns the folders that its program must enter. */
  async ensure(vmId: string, limits: VmLimits): Promise<string[]> {
    const below = vmCgroup(this.#parent, vmId)
    const folders = this.#entered(below)
    for (const folder of folders) await mkdir(folder, { recursive: true })
    if (this.#version === 2) await this.#handDown(below)
    for (const folder of folders) await this.#limit(folder, limits)
    return folders
  }

  /** Of every process in the VM's cgroup; some may have ended and not be reaped. */
  async pids(vmId: string): Promise<number[]> {
    const pids = new Set<number>()
    for (const folder of this.#entered(vmCgroup(this.#parent, vmId))) {
      const text = await readFile(path.join(folder, 'cgroup.procs'), 'latin1').catch((error) => {
        if (isErrno(error, 'ENOENT', 'ENODEV')) return ''
        throw error
      })
      for (const line of text.split('\n')) if (line !== '' && line !== '0') pids.add(Number(line))
    }
    return [...pids]
  }

  /** Ids of the VMs that have a cgroup. */
  async list(): Promise<string[]> {
    const ids = new Set<string>()
    for (const folder of this.#entered(this.#parent))
      for (const name of await namesIn(folder))
        if (name.startsWith('vm-')) ids.add(name.slice('vm-'.length))
    return [...ids]
  }

  /** Removes the VM's cgroup from every hierarchy. Idempotent. IN_USE if something still runs there after a while. */
  async remove(vmId: string): Promise<void> {
    const below = vmCgroup(this.#parent, vmId)
    let left = (await this.#hierarchies()).map((root) => path.join(root, below))
    const deadlineMs = this.#clock.monotonicMs() + REMOVE_TIMEOUT_MS
    for (;;) {
      const removed = await Promise.all(left.map(removeFolder))
      left = left.filter((_folder, at) => removed[at] === false)
      if (left.length === 0) return
      if (this.#clock.monotonicMs() > deadlineMs) break
      await sleep(this.#clock, REMOVE_RETRY_MS)
    }
    throw new PlatformError(
      'IN_USE',
      { vmId, cgroups: left },
      { message: `processes of the VM are still there: ${left.join(', ')}` },
    )
  }

  #entered(below: string): string[] {
    if (this.#version === 2) return [path.join(this.#root, below)]
    return LEGACY_CONTROLLERS.map((name) => path.join(this.#root, name))
      .filter((folder) => existsSync(folder))
      .map((folder) => path.join(folder, below))
  }

  /** v2: a controller works in a cgroup only if every cgroup above hands it down. One that the kernel lacks is done without. */
  async #handDown(below: string): Promise<void> {
    let above = this.#root
    for (const part of below.split('/').slice(1)) {
      for (const name of UNIFIED_CONTROLLERS)
        await writeFile(path.join(above, 'cgroup.subtree_control'), `+${name}`).catch(
          () => undefined,
        )
      above = path.join(above, part)
    }
  }

  async #limit(folder: string, { cpus, memoryBytes, pidsMax }: VmLimits): Promise<void> {
    // Processors of a guest are threads: there are never more than it was given. Only their share among others is set.
    const values: Readonly<Record<string, number>> =
      this.#version === 2
        ? {
            'memory.max': memoryBytes,
            'memory.swap.max': 0,
            'pids.max': pidsMax,
            'cpu.weight': cpuWeight(cpus),
          }
        : {
            'memory.limit_in_bytes': memoryBytes,
            'pids.max': pidsMax,
            'cpu.shares': cpus * SHARES_PER_CPU,
          }
    for (const [file, value] of Object.entries(values)) {
      const target = path.join(folder, file)
      if (!existsSync(target)) continue
      try {
        await writeFile(target, String(value))
      } catch (cause) {
        throw new PlatformError(
          'VM_START_FAILED',
          { cgroup: folder, file, value },
          { message: `the kernel refused a limit of the VM: ${file} = ${value}`, cause },
        )
      }
    }
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

/** Shares as a weight of v2, by the formula that runc uses: [2, 262144] becomes [1, 10000]. */
function cpuWeight(cpus: number): number {
  return 1 + Math.floor(((cpus * SHARES_PER_CPU - 2) * 9_999) / 262_142)
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.filter((entry) => !entry.isFile()).map((entry) => entry.name)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

/** False if something is still in it. */
async function removeFolder(folder: string): Promise<boolean> {
  try {
    await rmdir(folder)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return true
    if (isErrno(error, 'EBUSY', 'ENOTEMPTY')) return false
    throw error
  }
}
