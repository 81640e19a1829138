import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DockerClient } from '../client.ts'
import { isDockerError } from '../errors.ts'
import { waitUntil } from './wait-until.ts'

/** Starting takes 0.1 to 0.9 s on a quiet machine; tests share theirs. */
const READY_TIMEOUT_MS = 60_000
const EXIT_TIMEOUT_MS = 30_000
const HOME_PREFIX = 'ntd'
/** Says whose the folder is, so that a later run can remove what a killed one left. */
const OWNER_FILE = 'owner.json'

/** A dockerd of its own for a test, with everything it has in one folder and one cgroup. */
export interface TestEngine {
  readonly socketPath: string
  /** As `CgroupParent` wants it: `/nt…`. Sets and containers of the test live below. */
  readonly cgroupParent: string
  readonly client: DockerClient
  /** SIGKILL: containers run on (live restore). Resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts it again after `kill`; resolves when it answers. */
  start(): Promise<void>
  /** What it wrote. */
  log(): string
  /** Removes containers, ends the engine, and removes every mount, file and cgroup. Idempotent. */
  stop(): Promise<void>
}

export interface TestEngineOptions {
  /** Path of a network namespace in which dockerd shall run. */
  readonly networkNamespace?: string
  /** Gives the engine a disk of its own of this size, to be filled. */
  readonly diskBytes?: number
}

/** Starts dockerd without networks, rules and bridges, so that it touches nothing outside its folder and cgroup. */
export async function startTestEngine(options: TestEngineOptions = {}): Promise<TestEngine> {
  // Short: socket paths end at 107 bytes, and containerd's are deep.
  const home = await mkdtemp(path.join(tmpdir(), HOME_PREFIX))
  const cgroupParent = `/nt${process.pid}-${path.basename(home).slice(HOME_PREFIX.length)}`
  claim(home, cgroupParent)
  await removeOrphans()
  const socketPath = path.join(home, 'd.sock')
  const client = new DockerClient({ socketPath })
  let dockerd: ChildProcess | null = null

  const start = async (): Promise<void> => {
    dockerd = launch({ home, socketPath, cgroupParent, ...options })
    const started = dockerd
    await waitUntil(
      'dockerd answers',
      async () => {
        if (started.exitCode !== null) {
          throw new Error(`dockerd ended: ${readLog(home).slice(-2000)}`)
        }
        return await client.ping({ timeoutMs: 2_000 }).then(() => true, ignoreUnreachable)
      },
      READY_TIMEOUT_MS,
    )
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const child = dockerd
    dockerd = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await Promise.race([exited, sleep(EXIT_TIMEOUT_MS, undefined, { ref: false })])
    if (signal === 'SIGKILL') removePidFiles(home)
  }
  const stop = async (): Promise<void> => {
    if (!existsSync(home)) return
    if (dockerd !== null) await removeContainers(client)
    client.close()
    await end('SIGTERM')
    await clean(home, cgroupParent)
  }

  try {
    if (options.diskBytes !== undefined) mountDisk(path.join(home, 'root'), options.diskBytes)
    await start()
  } catch (error) {
    await end('SIGKILL')
    await clean(home, cgroupParent)
    throw error
  }
  return {
    socketPath,
    cgroupParent,
    client,
    start,
    stop,
    log: () => readLog(home),
    kill: async () => await end('SIGKILL'),
  }
}

function launch(options: {
  home: string
  socketPath: string
  cgroupParent: string
  networkNamespace?: string
}): ChildProcess {
  const { home } = options
  const log = openSync(path.join(home, 'log'), 'a')
  const dockerd = [
    'dockerd',
    '--host',
    `unix://${options.socketPath}`,
    '--data-root',
    path.join(home, 'root'),
    '--exec-root',
    path.join(home, 'x'),
    '--pidfile',
    path.join(home, 'd.pid'),
    '--storage-driver',
    'overlay2',
    '--iptables=false',
    '--ip6tables=false',
    '--bridge=none',
    '--ip-forward=false',
    '--exec-opt',
    'native.cgroupdriver=cgroupfs',
    '--cgroup-parent',
    options.cgroupParent,
    '--live-restore',
  ]
  // nsenter, not `ip netns exec`: that one hides /sys/fs/cgroup, which dockerd needs.
  const enter =
    options.networkNamespace === undefined ? [] : ['nsenter', `--net=${options.networkNamespace}`]
  const [command = 'dockerd', ...args] = [...enter, ...dockerd]
  try {
    // A process group of its own: an interrupted test run ends by our hand, not by the terminal's signal.
    return spawn(command, args, { stdio: ['ignore', log, log], detached: true })
  } finally {
    closeSync(log)
  }
}

function ignoreUnreachable(error: unknown): false {
  if (isDockerError(error, 'unreachable', 'timeout', 'server')) return false
  throw error
}

function readLog(home: string): string {
  return readFileSync(path.join(home, 'log'), 'utf8')
}

async function removeContainers(client: DockerClient): Promise<void> {
  const containers = await client.containers.list()
  // Members first would be kinder; but all go, and a forced removal does not ask.
  await Promise.all(
    containers.map(async ({ id }) => {
      await client.containers.remove(id, { isForced: true }).catch((error: unknown) => {
        if (!isDockerError(error, 'not_found', 'conflict')) throw error
      })
    }),
  )
}

/** Written aside and renamed, so that nobody reads half of it. */
function claim(home: string, cgroupParent: string): void {
  const owner = path.join(home, OWNER_FILE)
  writeFileSync(`${owner}.new`, JSON.stringify([process.pid, startOf(process.pid), cgroupParent]))
  renameSync(`${owner}.new`, owner)
}

/** Removes what test runs have left that were killed before they could do it themselves. */
async function removeOrphans(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const home = path.join(tmpdir(), name)
    const owner = path.join(home, OWNER_FILE)
    if (!name.startsWith(HOME_PREFIX) || !existsSync(owner)) continue
    // Proven: only the function above writes this file, in one go.
    const [pid, start, cgroupParent] = JSON.parse(readFileSync(owner, 'utf8')) as [
      number,
      string,
      string,
    ]
    if (startOf(pid) !== start) await clean(home, cgroupParent)
  }
}

/** When a process began, in ticks; with the pid it names a process for ever. Empty if there is none. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // Fields are counted after the name, which may contain anything and ends with the last parenthesis.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

async function clean(home: string, cgroupParent: string): Promise<void> {
  await endProcesses(home)
  await removeCgroups(cgroupParent)
  unmountBelow(home)
  rmSync(home, { recursive: true, force: true, maxRetries: 5 })
}

/**
 * A killed dockerd leaves its pid files, and containerd is killed with it. The next dockerd takes the recorded
 * containerd for alive while init has not yet reaped it, waits for it in vain, and gives up after 15 seconds.
 */
function removePidFiles(home: string): void {
  rmSync(path.join(home, 'd.pid'), { force: true })
  rmSync(path.join(home, 'x', 'containerd', 'containerd.pid'), { force: true })
}

/** Ends containerd and the shims of a dockerd that could not end them itself. They are known by our folder. */
async function endProcesses(home: string): Promise<void> {
  const ours = (): number[] =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== process.pid && commandLineOf(pid).includes(`${home}/`))
  for (const pid of ours()) killIfAlive(pid)
  await waitUntil(`processes of ${home} ended`, () => ours().length === 0, EXIT_TIMEOUT_MS)
}

/** Empty for a process that has ended, reaped or not. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself in between.
  }
}

function mountDisk(directory: string, bytes: number): void {
  mkdirSync(directory)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'nubo-test', directory])
}

function unmountBelow(home: string): void {
  for (const point of mountsBelow(home).reverse()) {
    try {
      execFileSync('umount', ['--lazy', point], { stdio: 'ignore' })
    } catch (error) {
      // Another test run may clear the same leftovers.
      if (mountsBelow(home).includes(point)) throw error
    }
  }
}

function mountsBelow(home: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${home}/`))
}

/** Ends what still runs in the test's cgroups and removes them from every hierarchy (cgroup v1, v2 and hybrid). */
async function removeCgroups(cgroupParent: string): Promise<void> {
  const root = '/sys/fs/cgroup'
  const hierarchies = existsSync(path.join(root, 'cgroup.controllers'))
    ? [root]
    : readdirSync(root).map((name) => path.join(root, name))
  for (const hierarchy of hierarchies) {
    const directory = path.join(hierarchy, cgroupParent)
    if (!existsSync(directory)) continue
    killProcesses(directory)
    // The kernel takes a moment to forget a process that has ended.
    await waitUntil(`${directory} removed`, () => removeTree(directory), 10_000)
  }
}

function killProcesses(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) killProcesses(path.join(directory, entry.name))
  }
  const pids = readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n')
  for (const pid of pids.filter((text) => text !== '')) killIfAlive(Number(pid))
}

function removeTree(directory: string): boolean {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(path.join(directory, entry.name))
    }
    rmdirSync(directory)
    return true
  } catch {
    return !existsSync(directory)
  }
}
