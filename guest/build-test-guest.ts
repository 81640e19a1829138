import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { isPlatformError } from '@nubo/base'
import type { Log } from '@nubo/runtime/process'
import { cached, cachedVersions, nameOf, withScratch, type CacheKey } from './cache.ts'
import { TEST_GUEST_COMMAND_LINE } from './command-line.ts'
import { cpioArchive } from './cpio.ts'
import { writeDisks } from './disk.ts'
import { findKernelPackage, unpackKernel, type KernelPackage } from './kernel-package.ts'
import { readBusybox, readOwnFiles, rootEntries } from './root-files.ts'

export interface BuildTestGuestOptions {
  /** Where it is made and kept, made if it is not there. About 75 MB for each kernel and 35 MB for each version of this recipe. */
  readonly folder: string
  readonly log: Log
  /** Asks Debian for its current kernel. Without it the newest that is in the folder will do, and no mirror is needed. */
  readonly isKernelRefreshed?: boolean
  readonly signal?: AbortSignal
}

/** Paths of files that must not be written to: give a machine an overlay or a copy of a disk. */
export interface TestGuest {
  /** Of the Debian package of the kernel. */
  readonly kernelVersion: string
  /** For a boot loader. */
  readonly vmlinuz: string
  /** Uncompressed, for `-kernel` of QEMU: it starts sooner (PVH). */
  readonly vmlinux: string
  readonly initrd: string
  /** For `-append` of QEMU; the disks have it in themselves. */
  readonly commandLine: string
  /** Bootable by a BIOS. */
  readonly diskRaw: string
  readonly diskQcow2: string
}

const zip = promisify(gzip)
const SOURCES = fileURLToPath(new URL('.', import.meta.url))
const KERNEL_SOURCES = ['kernel-image.ts', 'kernel-modules.ts', 'kernel-package.ts']
const GUEST_SOURCES = [
  'command-line.ts',
  'cpio.ts',
  'disk.ts',
  'partition-table.ts',
  'root-files.ts',
]

/**
 * The test guest: made within seconds when it is first wanted, found within milliseconds from then on. Idempotent, and safe for several
 * processes at once; one that is killed leaves nothing that counts. Throws SETUP_FAILED with the next step if a program
 * is missing or Debian's mirror is not reached, ProgramError if a program fails.
 */
export async function buildTestGuest(options: BuildTestGuestOptions): Promise<TestGuest> {
  const kernel = await buildKernel(options)
  const own = (await readOwnFiles()).flatMap(([path, bytes]) => [path, bytes])
  const recipe = sumOf([await readBusybox(), ...own, ...(await readSources(GUEST_SOURCES))])
  const key: CacheKey = { kind: 'guest', version: kernel.name, recipe }
  const folder = await cached(options.folder, key, async (into) => {
    options.log.info('making the root file system and the disks of the test guest')
    const archive = cpioArchive(await rootEntries(kernel.folder))
    await writeFile(join(into, 'initrd.gz'), await zip(archive, { level: 9 }))
    await writeDisks(into, { kernelFolder: kernel.folder, signal: options.signal })
  })
  return {
    kernelVersion: kernel.version,
    vmlinuz: join(kernel.folder, 'vmlinuz'),
    vmlinux: join(kernel.folder, 'vmlinux'),
    initrd: join(folder, 'initrd.gz'),
    commandLine: TEST_GUEST_COMMAND_LINE,
    diskRaw: join(folder, 'disk.raw'),
    diskQcow2: join(folder, 'disk.qcow2'),
  }
}

interface BuiltKernel {
  readonly name: string
  readonly version: string
  readonly folder: string
}

async function buildKernel(options: BuildTestGuestOptions): Promise<BuiltKernel> {
  const { folder, signal } = options
  const recipe = sumOf(await readSources(KERNEL_SOURCES))
  if (options.isKernelRefreshed !== true) {
    const [version] = await cachedVersions(folder, { kind: 'kernel', recipe })
    if (version !== undefined) {
      const name = nameOf({ kind: 'kernel', version, recipe })
      return { name, version, folder: join(folder, name) }
    }
  }
  return await withScratch(folder, async (scratch) => {
    const found = await findKernelPackage({ scratch, isFresh: false, signal })
    try {
      return await makeKernel(found, { options, recipe, scratch })
    } catch (cause) {
      // Lists that are some weeks old name packages that the mirror does not have any more.
      if (!isPlatformError(cause, 'SETUP_FAILED')) throw cause
      const current = await findKernelPackage({ scratch, isFresh: true, signal })
      if (current.version === found.version) throw cause
      return await makeKernel(current, { options, recipe, scratch })
    }
  })
}

async function makeKernel(
  found: KernelPackage,
  place: { options: BuildTestGuestOptions; recipe: string; scratch: string },
): Promise<BuiltKernel> {
  const { options, recipe, scratch } = place
  const { version } = found
  const key: CacheKey = { kind: 'kernel', version, recipe }
  const folder = await cached(options.folder, key, async (into) => {
    options.log.info(`fetching ${found.name} ${version} (27 MB)`)
    await unpackKernel(found, { into, scratch, signal: options.signal })
  })
  return { name: nameOf(key), version, folder }
}

/** Of our own code: whoever changes what it makes need not think of a version. */
async function readSources(names: readonly string[]): Promise<Buffer[]> {
  return await Promise.all(names.map((name) => readFile(join(SOURCES, name))))
}

function sumOf(inputs: readonly (string | Uint8Array)[]): string {
  const sum = createHash('sha256')
  for (const input of inputs) sum.update(`${input.length}\n`).update(input)
  return sum.digest('hex').slice(0, 16)
}
