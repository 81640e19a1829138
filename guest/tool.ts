import { PlatformError } from '@nubo/base'
import { ProgramError, run, type Argv, type ProgramOutput } from '@nubo/runtime/process'

/** Program → the Debian package that brings it. */
const packages: Readonly<Record<string, string>> = {
  'apt-cache': 'apt',
  'apt-get': 'apt',
  '/bin/busybox': 'busybox-static',
  dpkg: 'dpkg',
  lz4: 'lz4',
  mcopy: 'mtools',
  mformat: 'mtools',
  'qemu-img': 'qemu-utils',
  syslinux: 'syslinux',
}

export interface ToolOptions {
  readonly argv: Argv
  readonly cwd?: string
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

/** `run`, but a program that is not installed is SETUP_FAILED and says which package to install. */
export async function runTool({ signal, ...options }: ToolOptions): Promise<ProgramOutput> {
  try {
    return await run({ ...options, ...(signal === undefined ? {} : { signal }) })
  } catch (cause) {
    if (!(cause instanceof ProgramError) || cause.failure.at !== 'spawn') throw cause
    const [program] = options.argv
    throw notInstalled(program, packages[program] ?? program, cause)
  }
}

export function notInstalled(what: string, debianPackage: string, cause: unknown): PlatformError {
  const next = `as root: apt-get install --no-install-recommends ${debianPackage}`
  return new PlatformError(
    'SETUP_FAILED',
    { missing: what, next },
    { message: `The test guest cannot be made without ${what}. Next: ${next}`, cause },
  )
}
