import { chmod, chown, lstat, mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PlatformError } from '@nubo/base'
import { ProgramError, run, type Argv } from '@nubo/runtime'
import { z } from 'zod'
import { broken, diskFull } from './archive.ts'
import type { DiskFormat } from './disk-format.ts'

/**
 * An account that no system gives to anybody (systemd.io/UIDS-GIDS: above all containers), so that nothing on the
 * machine belongs to it and no limit of it is shared with other programs.
 */
const ACCOUNT = 2_000_000_000
const ADDRESS_SPACE_BYTES_MAX = 2 * 2 ** 30
const PROCESSES_MAX = 64
const FILES_MAX = 64
const OUTPUT_BYTES_MAX = 1 << 20
const LOOK_TIMEOUT_MS = 30_000
/** Together below the time that clients give an import after its last byte. */
const MEASURE_TIMEOUT_MS = 80_000
const CONVERT_TIMEOUT_MS = 180_000
/** Processors that convert at once are few; the deadline ends those that wait, this those that compute. */
const CPU_SECONDS_PER_TIMEOUT_MS = 2 / 1_000
const EXIT_NOT_FOUND: ReadonlySet<number> = new Set([126, 127])

/** As the program sees it. */
const WORK_FOLDER = '/disk-work'
const SYSTEM_FOLDERS = 'usr lib lib64 bin'
/**
 * A root of nothing but programs, libraries and the folder of work. Constant text; what varies comes as parameters: the
 * folder for the root, the folder of work, the program.
 */
const ENTER_ROOT = `set -eu
root=$1 work=$2; shift 2
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev none "$root"
for folder in ${SYSTEM_FOLDERS}; do
  if [ -L "/$folder" ]; then cp -P "/$folder" "$root/$folder"
  elif [ -d "/$folder" ]; then mkdir "$root/$folder"; mount --rbind "/$folder" "$root/$folder"; fi
done
mkdir "$root${WORK_FOLDER}" "$root/dev"; mount --bind "$work" "$root${WORK_FOLDER}"
: >"$root/dev/null"; mount --bind /dev/null "$root/dev/null"
exec chroot "$root" "$@"`

const infoReply = z.looseObject({
  'virtual-size': z.int().min(1),
  format: z.string(),
  'backing-filename': z.undefined().optional(),
  'full-backing-filename': z.undefined().optional(),
})
const measureReply = z.looseObject({
  required: z.int().min(0),
  'fully-allocated': z.int().min(0),
})

export interface DiskWork {
  virtualBytes(): Promise<number>
  /** What is stored of it, and what a qcow2 of all of it would have. */
  measure(): Promise<{ readonly storedBytes: number; readonly tableBytes: number }>
  /** Makes the qcow2 and checks it; its path. */
  convert(limit: { readonly bytesMax: number }): Promise<string>
}

/**
 * Opens an upload in `folder` (moved there) with qemu-img, as a process that can do and see nothing: an account without rights, no
 * network, no file but its own, limits on memory, output and time. No format is ever guessed, no other file ever followed.
 */
export async function openDisk(
  path: string,
  asked: {
    folder: string
    format: DiskFormat
    signal: AbortSignal
  },
): Promise<DiskWork> {
  const { format, signal } = asked
  const place = await makePlace(path, asked.folder)
  await requireSandbox(place, signal)
  const source = describe(format, `${WORK_FOLDER}/disk`)
  const call = async (
    args: readonly string[],
    limits: { timeoutMs: number; bytesMax: number },
  ): Promise<string> => {
    const argv = enclosed(place, ['qemu-img', ...args], limits)
    try {
      const { stdout } = await run({
        argv,
        cwd: '/',
        timeoutMs: limits.timeoutMs,
        outputBytesMax: OUTPUT_BYTES_MAX,
        signal,
      })
      return stdout
    } catch (error) {
      throw error instanceof ProgramError ? explain(error) : error
    }
  }
  const look = { timeoutMs: LOOK_TIMEOUT_MS, bytesMax: 0 }
  const inspect = async (file: string, wanted: string): Promise<number> => {
    const info = parse(infoReply, await call(['info', '--output=json', file], look))
    if (info.format !== wanted) throw broken(`The disk is ${info.format}, not ${wanted}.`)
    return info['virtual-size']
  }
  return {
    virtualBytes: () => inspect(source, format),
    measure: async () => {
      const virtualBytes = await inspect(source, format)
      const limits = { timeoutMs: MEASURE_TIMEOUT_MS, bytesMax: 0 }
      const reply = await call(['measure', '--output=json', '-O', 'qcow2', source], limits)
      const { required, 'fully-allocated': all } = parse(measureReply, reply)
      return { storedBytes: virtualBytes - (all - required), tableBytes: all - virtualBytes }
    },
    convert: async ({ bytesMax }) => {
      const made = `${WORK_FOLDER}/made`
      await call(['convert', '-O', 'qcow2', '-o', 'compat=1.1,cluster_size=65536', source, made], {
        timeoutMs: CONVERT_TIMEOUT_MS,
        bytesMax,
      })
      await call(['check', '-q', describe('qcow2', made)], look)
      const file = join(place.work, 'made')
      // What ran may have been taken over by the disk; we must not read for it what it could not.
      const found = await lstat(file)
      if (!found.isFile() || found.nlink !== 1) throw broken('The disk did not become a file.')
      return file
    },
  }
}

/** A disk for qemu-img with everything said: the driver of the format, the driver of the file, and that nothing lies behind. */
function describe(format: DiskFormat, filename: string): string {
  const file = { driver: 'file', filename }
  return `json:${JSON.stringify(
    format === 'raw' ? { driver: format, file } : { driver: format, backing: null, file },
  )}`
}

interface Place {
  readonly root: string
  readonly work: string
}

/** The process may read one file and write another, and make none. */
async function makePlace(path: string, folder: string): Promise<Place> {
  const place = { root: join(folder, 'root'), work: join(folder, 'work') }
  await mkdir(place.root)
  await mkdir(place.work)
  await chmod(place.work, 0o755)
  const disk = join(place.work, 'disk')
  await rename(path, disk)
  await chmod(disk, 0o444)
  const made = join(place.work, 'made')
  await writeFile(made, '', { mode: 0o600 })
  if (isRoot()) await chown(made, ACCOUNT, ACCOUNT)
  return place
}

const isRoot = (): boolean => process.getuid?.() === 0

/**
 * In namespaces of its own, which root may make, and (with one for users) everybody on most machines: no network, and a root of
 * programs and the folder of work.
 */
function enclosed(
  place: Place,
  program: Argv,
  limits: { timeoutMs: number; bytesMax: number },
): Argv {
  return [
    'unshare',
    '--net',
    '--mount',
    '--pid',
    '--ipc',
    '--uts',
    '--fork',
    '--kill-child',
    ...(isRoot() ? [] : ['--user', '--map-root-user']),
    ...cleanEnvironment,
    '/bin/sh',
    '-c',
    ENTER_ROOT,
    'enter-root',
    place.root,
    place.work,
    ...withoutRights(limits),
    ...program,
  ]
}

/** Nothing is opened without it, however well it was checked before. ENGINE_UNAVAILABLE if the machine does not allow it. */
async function requireSandbox(place: Place, signal: AbortSignal): Promise<void> {
  const limits = { timeoutMs: 1_000, bytesMax: 0 }
  const argv = enclosed(place, ['test', '-f', `${WORK_FOLDER}/disk`], limits)
  try {
    await run({ argv, cwd: '/', timeoutMs: LOOK_TIMEOUT_MS, signal })
  } catch (cause) {
    if (signal.aborted) throw cause
    const why = cause instanceof ProgramError ? cause.stderrTail.trim().slice(-300) : ''
    throw new PlatformError(
      'ENGINE_UNAVAILABLE',
      {
        engine: 'unshare',
        cause: why,
        next: 'install util-linux on the server, and let its account make namespaces (kernel.unprivileged_userns_clone)',
      },
      { message: 'Disks cannot be checked: the server cannot make the sandbox for it.', cause },
    )
  }
}

const cleanEnvironment = [
  'env',
  '-i',
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'LC_ALL=C',
  // Otherwise each thread reserves address space, of which there is a limit.
  'MALLOC_ARENA_MAX=2',
] as const

function withoutRights(limits: { timeoutMs: number; bytesMax: number }): readonly string[] {
  const account = [`--reuid=${ACCOUNT}`, `--regid=${ACCOUNT}`, '--clear-groups']
  const rights = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all']
  return [
    'prlimit',
    `--as=${ADDRESS_SPACE_BYTES_MAX}`,
    `--fsize=${limits.bytesMax}`,
    `--cpu=${Math.ceil(limits.timeoutMs * CPU_SECONDS_PER_TIMEOUT_MS)}`,
    `--nofile=${FILES_MAX}`,
    '--core=0',
    // The account of a server that is not root has other processes, which would count.
    ...(isRoot() ? [`--nproc=${PROCESSES_MAX}`] : []),
    'setpriv',
    ...(isRoot() ? account : []),
    // In a namespace for users everybody is its root, and has some to give up, too.
    ...rights,
    '--no-new-privs',
    '--',
  ]
}

/** What a run of qemu-img that failed means for who imports. */
function explain(error: ProgramError): PlatformError {
  const { failure, stderrTail } = error
  const cannotRun =
    failure.at === 'spawn' || (failure.at === 'exit' && EXIT_NOT_FOUND.has(failure.exitCode))
  if (cannotRun)
    return new PlatformError(
      'ENGINE_UNAVAILABLE',
      { engine: 'qemu-img', next: 'install qemu-utils and util-linux on the server' },
      { message: 'Disks cannot be checked: qemu-img does not run on the server.', cause: error },
    )
  if (/No space left on device|Disk quota exceeded/.test(stderrTail)) return diskFull(error)
  if (failure.at === 'deadline' || (failure.at === 'signal' && failure.signal === 'SIGXCPU'))
    return new PlatformError(
      'TOO_LARGE',
      {
        limit: `${MEASURE_TIMEOUT_MS / 1_000} s to read it, ${CONVERT_TIMEOUT_MS / 1_000} s to convert it`,
        next: 'make it a qcow2 first, which is read faster: qemu-img convert -O qcow2 OLD NEW',
      },
      { message: 'Reading the disk takes too long.', cause: error },
    )
  if (failure.at === 'exit' || failure.at === 'signal')
    return new PlatformError(
      'IMAGE_BROKEN',
      {
        cause: stderrTail.trim().slice(-500) || `ended by ${failure.at}`,
        next: 'look at it with qemu-img check, or make it anew: qemu-img convert -O qcow2 OLD NEW',
      },
      { message: 'qemu-img cannot read the disk.', cause: error },
    )
  return error
}

function parse<Schema extends z.ZodType>(schema: Schema, text: string): z.infer<Schema> {
  const parsed = schema.safeParse(JSON.parse(text))
  if (parsed.success) return parsed.data
  throw broken(
    `qemu-img tells of the disk what cannot be: ${parsed.error.issues[0]?.path.join('.')}`,
  )
}
