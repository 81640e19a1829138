import { chmod, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { PlatformError } from '@nubo/base'
import { ProgramError, run, type Argv } from '@nubo/runtime/process'
import { unprivileged } from './accounts.ts'

const TUN = '/dev/net/tun'
// sun_path of unix(7), without the closing NUL.
const SOCKET_PATH_BYTES_MAX = 107
const VM_ID_CHARACTERS = 36

export interface HostFolders {
  readonly folder: string
  readonly runFolder: string
}

/** The folders of the driver, made and fit for what lies in them. Throws SETUP_FAILED. */
export async function ensureFolders({ folder, runFolder }: HostFolders): Promise<void> {
  const longest = path.join(runFolder, 'x'.repeat(VM_ID_CHARACTERS), 'serial')
  // The two letters would begin another option on QEMU's command line.
  if (/[,=]/.test(runFolder) || Buffer.byteLength(longest) > SOCKET_PATH_BYTES_MAX) {
    throw new PlatformError(
      'SETUP_FAILED',
      { runFolder, limit: SOCKET_PATH_BYTES_MAX, next: 'choose a short one without , and =' },
      { message: `sockets of VMs cannot lie in ${runFolder}` },
    )
  }
  for (const one of [folder, path.join(folder, 'vms'), runFolder]) {
    await mkdir(one, { recursive: true })
    // QEMU reaches its own files in them by their names; nobody sees which others there are.
    await chmod(one, 0o711)
  }
}

/** Version of QEMU. Throws SETUP_FAILED if it or another program is not installed. */
export async function findPrograms(): Promise<string> {
  const [version] = await Promise.all([
    firstLine('qemu-system-x86_64', ['qemu-system-x86_64', '--version'], 'qemu-system-x86'),
    firstLine('qemu-img', ['qemu-img', '--version'], 'qemu-utils'),
    firstLine('setpriv', ['setpriv', '--version'], 'util-linux'),
    firstLine('ip', ['ip', '-V'], 'iproute2'),
  ])
  return /version (\S+)/.exec(version)?.[1] ?? version
}

/**
 * Looks as an account without rights at what it needs: taps and the driver's folders. `launcher` is what QEMU is started
 * through. Throws SETUP_FAILED with what to do.
 */
export async function checkReach(
  { folder, runFolder }: HostFolders,
  { uid, launcher }: { readonly uid: number; readonly launcher: readonly string[] },
): Promise<void> {
  const can = async (...test: string[]): Promise<boolean> => {
    const [program, ...args] = [...launcher, ...unprivileged(uid, ['test', ...test])]
    // Never empty: `unprivileged` begins with a program.
    const argv: Argv = [program ?? 'setpriv', ...args]
    try {
      await run({ argv, cwd: '/' })
      return true
    } catch (error) {
      if (
        error instanceof ProgramError &&
        error.failure.at === 'exit' &&
        error.failure.exitCode === 1
      )
        return false
      throw error
    }
  }
  if (!(await can('-r', TUN, '-a', '-w', TUN))) {
    throw new PlatformError(
      'SETUP_FAILED',
      {
        device: TUN,
        next: `chmod 0666 ${TUN} (as udev has it; a tap still opens for its owner only)`,
      },
      { message: `accounts without rights cannot open ${TUN}, so no VM would have a network` },
    )
  }
  for (const one of [path.join(folder, 'vms'), runFolder]) {
    if (await can('-x', one)) continue
    throw new PlatformError(
      'SETUP_FAILED',
      { folder: one, next: 'chmod o+x on the folders above it, or choose another' },
      { message: `accounts without rights cannot reach ${one}, where files of their VMs lie` },
    )
  }
}

async function firstLine(program: string, argv: Argv, debianPackage: string): Promise<string> {
  try {
    return (await run({ argv })).stdout.split('\n')[0] ?? ''
  } catch (cause) {
    throw new PlatformError(
      'SETUP_FAILED',
      { program, next: `install it (Debian: ${debianPackage})` },
      { message: `${program} cannot be run`, cause },
    )
  }
}
