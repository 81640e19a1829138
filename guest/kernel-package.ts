/** Debian's kernel for clouds, out of its package, without installing it. */
import { mkdir, mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { PlatformError } from '@nubo/base'
import { ProgramError } from '@nubo/runtime/process'
import { kernelPayload } from './kernel-image.ts'
import {
  loadOrder,
  moduleName,
  readNeeds,
  wantedModules,
  type KernelModule,
} from './kernel-modules.ts'
import { runTool } from './tool.ts'

/** Depends on the kernel that is current. */
const META_PACKAGE = 'linux-image-cloud-amd64'
// As root, apt works as an account of its own, which may not write where we do, and warns.
const SANDBOX_OFF = ['-o', 'APT::Sandbox::User=root']
const LISTS_TIMEOUT_MS = 120_000
// 27 MB; at 100 KB/s.
const DOWNLOAD_TIMEOUT_MS = 300_000
const UNPACK_TIMEOUT_MS = 120_000

export interface KernelPackage {
  /** `linux-image-6.1.0-56-cloud-amd64`. */
  readonly name: string
  readonly version: string
  /** Options by which apt has found it. */
  readonly aptOptions: readonly string[]
}

/**
 * The kernel package that is current. Package lists of the machine are asked first; if they do not know it, or `isFresh` is asked for, fresh ones are
 * read into `scratch`, so that nothing of the machine is changed and no root is needed.
 * Throws SETUP_FAILED with the next step if the mirror is not reached.
 */
export async function findKernelPackage(options: {
  readonly scratch: string
  readonly isFresh: boolean
  readonly signal?: AbortSignal | undefined
}): Promise<KernelPackage> {
  const { scratch, isFresh, signal } = options
  if (!isFresh) {
    const known = await askLists(SANDBOX_OFF, signal)
    if (known !== undefined) return known
  }
  const state = join(scratch, 'apt')
  await mkdir(join(state, 'lists', 'partial'), { recursive: true })
  await mkdir(join(state, 'cache', 'archives', 'partial'), { recursive: true })
  const own = { 'Dir::State::lists': join(state, 'lists'), 'Dir::Cache': join(state, 'cache') }
  const places = Object.entries(own).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const aptOptions = [...SANDBOX_OFF, ...places]
  const argv = ['apt-get', ...aptOptions, '--error-on=any', 'update'] as const
  await unlessUnreachable(runTool({ argv, timeoutMs: LISTS_TIMEOUT_MS, signal }))
  const found = await askLists(aptOptions, signal)
  if (found !== undefined) return found
  const next = "Nubo is made for Debian 12; enable its 'main' section in /etc/apt/sources.list*"
  throw new PlatformError(
    'SETUP_FAILED',
    { package: META_PACKAGE, next },
    { message: `No package source has ${META_PACKAGE}. Next: ${next}` },
  )
}

async function askLists(
  aptOptions: readonly string[],
  signal?: AbortSignal,
): Promise<KernelPackage | undefined> {
  const argv = ['apt-cache', ...aptOptions, 'show', '--no-all-versions', META_PACKAGE] as const
  try {
    const named = readDependency((await runTool({ argv, signal })).stdout)
    return named === undefined ? undefined : { ...named, aptOptions }
  } catch (cause) {
    // 100: no package of this name.
    if (cause instanceof ProgramError && cause.failure.at === 'exit') return undefined
    throw cause
  }
}

/** What a package like `linux-image-cloud-amd64` leads to, from the text of `apt-cache show`. */
export function readDependency(text: string): { name: string; version: string } | undefined {
  const found = /^Depends:.*\b(linux-image-\d[^ ,]*-cloud-amd64) \(= ([^)\s]+)\)/m.exec(text)
  const [, name, version] = found ?? []
  return name === undefined || version === undefined ? undefined : { name, version }
}

/**
 * Fetches the package and leaves in `into`: vmlinuz, vmlinux, and the modules to load, with names in the order of loading.
 * Throws SETUP_FAILED if the mirror is not reached or the package is another than expected.
 */
export async function unpackKernel(
  kernel: KernelPackage,
  options: { into: string; scratch: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const { into, signal } = options
  // Of its own: an attempt that failed may have left half a package.
  const scratch = await mkdtemp(join(options.scratch, 'package-'))
  const wanted = `${kernel.name}=${kernel.version}`
  const argv = ['apt-get', ...kernel.aptOptions, 'download', wanted] as const
  const timeoutMs = DOWNLOAD_TIMEOUT_MS
  await unlessUnreachable(runTool({ argv, cwd: scratch, timeoutMs, signal }))
  const archive = (await readdir(scratch)).find((name) => name.endsWith('.deb'))
  if (archive === undefined) throw new Error(`apt-get download ${wanted} left no package`)
  const tree = join(scratch, 'tree')
  // Unpacked only: none of its scripts runs, nothing touches this machine.
  const unpack = ['dpkg', '-x', join(scratch, archive), tree] as const
  await runTool({ argv: unpack, timeoutMs: UNPACK_TIMEOUT_MS, signal })
  try {
    await writeKernel(tree, { into, scratch, signal })
    await writeModules(tree, into)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    const next = 'look whether the package is made differently now: guest/kernel-package.ts'
    const message = `${wanted} is not what the test guest is made for. Next: ${next}`
    throw new PlatformError('SETUP_FAILED', { package: wanted, next }, { message, cause })
  }
}

async function writeKernel(
  tree: string,
  { into, scratch, signal }: { into: string; scratch: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const name = (await readdir(join(tree, 'boot'))).find((file) => file.startsWith('vmlinuz-'))
  if (name === undefined) throw new RangeError('no vmlinuz in it')
  const image = await readFile(join(tree, 'boot', name))
  const { lz4, vmlinuxBytes } = kernelPayload(image)
  const packed = join(scratch, 'vmlinux.lz4')
  const unpacked = join(into, 'vmlinux')
  await writeFile(packed, lz4)
  await runTool({ argv: ['lz4', '-d', '-q', packed, unpacked], signal })
  const { size } = await stat(unpacked)
  if (size !== vmlinuxBytes)
    throw new RangeError(`vmlinux has ${size} bytes instead of ${vmlinuxBytes}`)
  await writeFile(join(into, 'vmlinuz'), image)
}

async function writeModules(tree: string, into: string): Promise<void> {
  const [release, ...others] = await readdir(join(tree, 'lib/modules'))
  if (release === undefined || others.length > 0) throw new RangeError('not one kernel in it')
  const folder = join(tree, 'lib/modules', release)
  const files = new Map<string, string>()
  for (const path of await readdir(folder, { recursive: true })) {
    if (path.endsWith('.ko')) files.set(moduleName(basename(path, '.ko')), join(folder, path))
  }
  const builtin = (await readFile(join(folder, 'modules.builtin'), 'utf8')).split('\n')
  const builtins = new Set(builtin.map((path) => moduleName(basename(path, '.ko'))))
  const contents = new Map<string, Buffer>()
  const needs = new Map<string, KernelModule>()
  // Files are read once they are asked for: there are a thousand. Sizes are below 1 MB.
  const read = async (name: string): Promise<void> => {
    const file = files.get(name)
    if (file === undefined || contents.has(name)) return
    const bytes = await readFile(file)
    contents.set(name, bytes)
    const found = { name, needs: readNeeds(bytes) }
    needs.set(name, found)
    for (const need of found.needs) await read(need)
  }
  for (const name of wantedModules) await read(moduleName(name))
  const order = loadOrder(
    wantedModules,
    (name) => needs.get(name) ?? (builtins.has(name) ? 'builtin' : undefined),
  )
  for (const [turn, name] of order.entries()) {
    const bytes = contents.get(name)
    if (bytes !== undefined)
      await writeFile(join(into, `${String(turn).padStart(2, '0')}-${name}.ko`), bytes)
  }
}

async function unlessUnreachable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    if (!(cause instanceof ProgramError) || cause.failure.at === 'aborted') throw cause
    const next = 'check the network and /etc/apt/sources.list*, then try again'
    const message = `The kernel of the test guest cannot be fetched from Debian's mirror. Next: ${next}`
    throw new PlatformError('SETUP_FAILED', { package: META_PACKAGE, next }, { message, cause })
  }
}
