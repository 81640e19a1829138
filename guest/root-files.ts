/** What lies in the root file system of the test guest. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CpioEntry } from './cpio.ts'
import { notInstalled, runTool } from './tool.ts'

const BUSYBOX = '/bin/busybox'
const HEAD_BYTES = 4_096
/** Our own files, in the tree as they will lie in the guest. */
const ROOT_FOLDER = fileURLToPath(new URL('root', import.meta.url))

const folders = 'bin dev etc lib lib/modules proc root run sys tmp var var/log www'.split(' ')

// Until devtmpfs is mounted. Linux opens the console before it starts the first program, and says so if there is none.
const devices: readonly CpioEntry[] = (
  [
    ['dev/console', 0o600, 5, 1],
    ['dev/null', 0o666, 1, 3],
    ['dev/ttyS0', 0o600, 4, 64],
  ] as const
).map(([path, mode, major, minor]) => ({
  at: 'device',
  type: 'character',
  path,
  mode,
  major,
  minor,
}))

/** A static busybox, by its bytes. Throws SETUP_FAILED if there is none or it needs libraries. */
export async function readBusybox(): Promise<Buffer> {
  const bytes = await readFile(BUSYBOX).catch((cause: unknown) => {
    throw notInstalled(BUSYBOX, 'busybox-static', cause)
  })
  // A program that needs libraries names its loader in its head.
  if (bytes.subarray(0, HEAD_BYTES).includes('ld-linux'))
    throw notInstalled(`a static ${BUSYBOX}`, 'busybox-static', undefined)
  return bytes
}

/** Paths and bytes of our own files. */
export async function readOwnFiles(): Promise<[path: string, bytes: Buffer][]> {
  const found: [string, Buffer][] = []
  const entries = await readdir(ROOT_FOLDER, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    found.push([path.slice(ROOT_FOLDER.length + 1), await readFile(path)])
  }
  return found.toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/**
 * The whole root file system, in the order in which Linux can unpack it. Beside our own files, and the commands of busybox as
 * links, it has the modules of `kernelFolder`.
 */
export async function rootEntries(kernelFolder: string): Promise<CpioEntry[]> {
  const entries = new Map<string, CpioEntry>()
  const add = (entry: CpioEntry): void => {
    entries.set(entry.path, entry)
  }
  for (const path of folders) add({ at: 'folder', path, mode: path === 'tmp' ? 0o1777 : 0o755 })
  for (const device of devices) add(device)
  const { stdout } = await runTool({ argv: [BUSYBOX, '--list'] })
  for (const name of stdout.split('\n').filter((line) => line !== ''))
    add({ at: 'link', path: `bin/${name}`, target: 'busybox' })
  add({ at: 'file', path: 'bin/busybox', mode: 0o755, bytes: await readBusybox() })
  for (const name of (await readdir(kernelFolder)).toSorted()) {
    if (!name.endsWith('.ko')) continue
    const bytes = await readFile(join(kernelFolder, name))
    add({ at: 'file', path: `lib/modules/${name}`, mode: 0o644, bytes })
  }
  for (const [path, bytes] of await readOwnFiles()) {
    const steps = path.split('/').slice(0, -1)
    for (const at of steps.keys()) {
      const parent = steps.slice(0, at + 1).join('/')
      if (!entries.has(parent)) add({ at: 'folder', path: parent, mode: 0o755 })
    }
    // Git keeps no modes but this one, and a checkout may have lost it.
    const mode = bytes.subarray(0, 2).toString() === '#!' ? 0o755 : 0o644
    add({ at: 'file', path, mode, bytes })
  }
  return [...entries.values()]
}
