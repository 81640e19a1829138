/**
 * Control groups of a lab: every process of it is in one, so that whatever a killed lab left can be found and ended,
 * and so that a host is powered off by ending all that is its, containers included.
 *
 * Version 1 has one tree per controller. Ours: `pids` and `freezer` for what we start; the container engine makes
 * folders under the same name in all trees. Version 2 has one tree, where only leaves hold processes and where
 * `cgroup.kill` ends a whole branch at once. Machines that mix them have both, and both are looked at.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError } from '@nubo/base'
import { findProcess, signalProcess } from '@nubo/runtime'

const KILL_TIMEOUT_MS = 15_000
const REMOVE_TIMEOUT_MS = 3_000
const POLL_MS = 10
// What this lab's own processes enter under version 1. `freezer` stops a fork bomb before it is killed.
const V1_OWN = ['pids', 'freezer']

export interface CgroupTree {
  version: 1 | 2
  /** Version 1: the controllers of this tree. */
  controllers: readonly string[]
  /** Where it is mounted. */
  root: string
}

/** The cgroup trees of this machine, from the text of /proc/self/mountinfo. */
export function parseCgroupTrees(mountinfo: string): CgroupTree[] {
  const trees = new Map<string, CgroupTree>()
  for (const line of mountinfo.split('\n')) {
    const [mount = '', source = ''] = line.split(' - ')
    const root = mount.split(' ')[4]
    const [type, , superOptions = ''] = source.split(' ')
    if (root === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue
    const key = type === 'cgroup2' ? 'v2' : superOptions
    if (trees.has(key)) continue // the same tree mounted a second time
    trees.set(key, {
      version: type === 'cgroup2' ? 2 : 1,
      controllers:
        type === 'cgroup2' ? [] : superOptions.split(',').filter((option) => option !== 'rw'),
      root,
    })
  }
  return [...trees.values()]
}

export function findCgroupTrees(): CgroupTree[] {
  return parseCgroupTrees(readFileSync('/proc/self/mountinfo', 'utf8'))
}

export class LabCgroups {
  readonly #trees: readonly CgroupTree[]
  readonly #id: string

  /** `id` is the folder of this lab right below each root; nobody else may use it. */
  constructor(trees: readonly CgroupTree[], id: string) {
    if (trees.length === 0) {
      throw new PlatformError(
        'SETUP_FAILED',
        { next: 'mount them, for example: mount -t cgroup2 none /sys/fs/cgroup' },
        { message: 'No control groups are mounted on this machine.' },
      )
    }
    this.#trees = trees
    this.#id = id
  }

  /**
   * Makes the folder of a leaf (`control`, `h1/system`) and returns what a program must enter to be in it.
   * Idempotent. A leaf under version 2 must have no folders below it.
   */
  enter(leaf: string): string[] {
    return this.#ownTrees().map((tree) => {
      const folder = join(tree.root, this.#id, leaf)
      mkdirSync(folder, { recursive: true })
      return folder
    })
  }

  /** What the container engine takes as `--cgroup-parent` for containers of `branch`. */
  parentOf(branch: string): string {
    return `/${this.#id}/${branch}`
  }

  /** Living processes anywhere below a branch ('' for the whole lab), in any tree. */
  processes(branch = ''): number[] {
    const pids = new Set<number>()
    for (const folder of this.#branches(branch)) {
      for (const pid of processesBelow(folder)) if (findProcess(pid) !== undefined) pids.add(pid)
    }
    return [...pids]
  }

  /**
   * Ends every process of a branch by SIGKILL and waits until none is left; then removes the folders.
   * Throws SETUP_FAILED if some cannot be ended in 15 s (they hang in the kernel).
   */
  async kill(branch = ''): Promise<void> {
    const deadline = performance.now() + KILL_TIMEOUT_MS
    for (;;) {
      const pids = this.processes(branch)
      if (pids.length === 0) break
      if (performance.now() > deadline) {
        throw new PlatformError(
          'SETUP_FAILED',
          { pids, next: 'look at their state with ps; a reboot ends them' },
          { message: `Processes of the lab do not end: ${pids.join(', ')}` },
        )
      }
      for (const folder of this.#branches(branch)) writeIfThere(join(folder, 'cgroup.kill'), '1')
      this.#freeze(branch, 'FROZEN')
      for (const pid of pids) signalProcess(pid, 'SIGKILL')
      // Under version 1 a frozen process acts on its signals only once it is thawed.
      this.#freeze(branch, 'THAWED')
      await sleep(POLL_MS)
    }
    // The kernel gives a folder free some time after its last process ended.
    const removeDeadline = performance.now() + REMOVE_TIMEOUT_MS
    while (this.exists(branch) && performance.now() < removeDeadline) {
      for (const folder of this.#branches(branch)) removeTree(folder)
      if (this.exists(branch)) await sleep(POLL_MS)
    }
  }

  exists(branch = ''): boolean {
    return this.#branches(branch).length > 0
  }

  #ownTrees(): CgroupTree[] {
    const v1 = this.#trees.filter(
      (tree) =>
        tree.version === 1 && tree.controllers.some((controller) => V1_OWN.includes(controller)),
    )
    const v2 = this.#trees.filter((tree) => tree.version === 2)
    return [...v1, ...v2]
  }

  #branches(branch: string): string[] {
    return this.#trees
      .map((tree) => join(tree.root, this.#id, branch))
      .filter((folder) => existsSync(folder))
  }

  #freeze(branch: string, state: 'FROZEN' | 'THAWED'): void {
    // Only the freezer tree of version 1 has this file; freezing is a help, not a need.
    for (const folder of this.#branches(branch)) writeIfThere(join(folder, 'freezer.state'), state)
  }
}

function writeIfThere(file: string, text: string): void {
  if (existsSync(file)) writeFileSync(file, text)
}

function processesBelow(folder: string): number[] {
  const pids: number[] = []
  let text: string
  try {
    text = readFileSync(join(folder, 'cgroup.procs'), 'latin1')
  } catch {
    text = '' // removed meanwhile, or a threaded cgroup
  }
  for (const line of text.split('\n')) if (line !== '' && line !== '0') pids.push(Number(line))
  return [...pids, ...foldersIn(folder).flatMap(processesBelow)]
}

function removeTree(folder: string): void {
  for (const below of foldersIn(folder)) removeTree(below)
  try {
    rmdirSync(folder)
  } catch {
    // Still in use, or gone already.
  }
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(folder, entry.name))
  } catch {
    return []
  }
}
