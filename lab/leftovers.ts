/** Takes away what programs of a lab leave in the kernel when they are killed: mounts, loop devices, sockets, namespaces. */
import {
  existsSync,
  globSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { findProcess, run, signalProcess } from '@nubo/runtime'
import type { LabCgroups } from './cgroups.ts'
import { readIfThere } from './files.ts'
import type { LabHome } from './home.ts'
import { NETNS_FOLDER, removeLink, removeNamespace } from './underlay.ts'
import { waitUntil } from './wait.ts'

const END_TIMEOUT_MS = 15_000

/**
 * Where programs of a lab have mounted something below a folder, inner ones first, from the text of
 * /proc/self/mountinfo. Disks are not theirs: somebody may have given the folder, or one in it, a disk of its own.
 */
export function mountsBelow(mountinfo: string, folder: string): string[] {
  return mountinfo
    .split('\n')
    .filter((line) => !isDisk(line))
    .map((line) => unescapeMount(line.split(' ')[4] ?? ''))
    .filter((path) => path.startsWith(`${folder}/`))
    .toReversed() // a later mount may lie on an earlier one
}

/** A whole file system of a real device; engines mount parts of one (bind), or overlays, or what lies in memory. */
function isDisk(line: string): boolean {
  const [mount = '', source = ''] = line.split(' - ')
  const device = source.split(' ')[1] ?? ''
  return mount.split(' ')[3] === '/' && /^\/dev\/(?!loop)/.test(device)
}

// The kernel writes space, tab, newline and backslash as octal.
function unescapeMount(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}

/** Unmounts what programs of a lab have mounted below a folder, and detaches loop devices whose files lie there. Idempotent. */
export async function unmountBelow(folder: string): Promise<void> {
  for (const path of mountsBelow(readFileSync('/proc/self/mountinfo', 'utf8'), folder)) {
    // Lazily, because somebody of another namespace may look at it just now; it goes when they leave.
    await run({ argv: ['umount', '--lazy', path] })
  }
  for (const name of readdirSync('/sys/block').filter((entry) => entry.startsWith('loop'))) {
    const backing = readIfThere(`/sys/block/${name}/loop/backing_file`)?.trim()
    if (backing?.startsWith(`${folder}/`) === true)
      await run({ argv: ['losetup', '--detach', `/dev/${name}`] })
  }
}

/**
 * Sockets of containerd's shims, which lie outside of its folders; the shims noted where. To be asked while they run:
 * a containerd that sees its shims die removes the notes, and not always the sockets.
 */
export function shimSockets(hostRun: string): string[] {
  return globSync(join(hostRun, 'containerd/io.containerd.runtime.v2.task/*/*/address'))
    .map((file) => readIfThere(file)?.trim() ?? '')
    .filter((address) => /^unix:\/\/\/run\/containerd\/s\/[0-9a-f]+$/.test(address))
    .map((address) => address.slice('unix://'.length))
}

/** Our network namespaces that exist, by name. */
export function namespacesOf(id: string): string[] {
  if (!existsSync(NETNS_FOLDER)) return []
  const ours = new RegExp(`^${id}-(ul|h[1-9][0-9]{0,2})$`)
  return readdirSync(NETNS_FOLDER).filter((name) => ours.test(name))
}

function processesInNamespace(name: string): number[] {
  const inode = statSync(join(NETNS_FOLDER, name)).ino
  return readdirSync('/proc')
    .filter((entry) => /^[0-9]+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return (
          readlinkSync(`/proc/${pid}/ns/net`) === `net:[${inode}]` && findProcess(pid) !== undefined
        )
      } catch {
        return false // ended meanwhile
      }
    })
}

/**
 * Ends everything of a lab whose supervisor is gone, and removes all it left but its home. Knows its own by control
 * group, by namespace and by path, so nothing of another lab is touched. Returns what was found, for people.
 */
export async function cleanLeftovers(home: LabHome, cgroups: LabCgroups): Promise<string[]> {
  const found: string[] = []
  const sockets = globSync(join(home.run, 'h*')).flatMap(shimSockets)
  const processes = cgroups.processes()
  if (processes.length > 0) {
    found.push(`${processes.length} processes`)
    // The supervisor first, or it would start again what is ended.
    await cgroups.kill('supervisor')
    await endDatabase(home, processes)
  }
  await cgroups.kill()
  const namespaces = namespacesOf(home.id)
  for (const name of namespaces) {
    await waitUntil(
      `no process is left in namespace ${name}`,
      () => {
        const strays = processesInNamespace(name)
        for (const pid of strays) signalProcess(pid, 'SIGKILL')
        return strays.length === 0
      },
      { timeoutMs: END_TIMEOUT_MS },
    )
  }
  for (const socket of sockets) rmSync(socket, { force: true })
  const mounts = mountsBelow(readFileSync('/proc/self/mountinfo', 'utf8'), home.folder)
  if (mounts.length > 0) found.push(`${mounts.length} mounts`)
  await unmountBelow(home.folder)
  if (namespaces.length > 0) found.push(`${namespaces.length} namespaces`)
  await removeLink(undefined, `${home.id}-mgmt`)
  for (const name of namespaces) await removeNamespace(name)
  rmSync(home.run, { recursive: true, force: true })
  return found
}

/** Lets the database write its last checkpoint; killed, it would leave its shared memory and have to recover. */
async function endDatabase(home: LabHome, processes: readonly number[]): Promise<void> {
  const text = readIfThere(join(home.postgres, 'data', 'postmaster.pid'))
  const pid = Number(text?.split('\n')[0])
  if (!processes.includes(pid)) return
  signalProcess(pid, 'SIGINT')
  await waitUntil('the database ends', () => findProcess(pid) === undefined, {
    timeoutMs: END_TIMEOUT_MS,
  }).catch(
    () => undefined, // then it is killed with the rest
  )
}
