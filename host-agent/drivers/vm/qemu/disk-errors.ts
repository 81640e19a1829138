import { PlatformError } from '@nubo/base'
import { ProgramError } from '@nubo/runtime/process'

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.some((code) => code === error.code)
}

/** Does the work; a disk that is full becomes HOST_DISK_FULL, whoever met it. */
export async function onFullDisk<T>(
  details: { readonly what: string },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const isFull =
      isErrno(cause, 'ENOSPC', 'EDQUOT') ||
      (cause instanceof ProgramError &&
        /no space left on device|disk quota exceeded/i.test(cause.stderrTail))
    if (!isFull) throw cause
    throw new PlatformError('HOST_DISK_FULL', details, { cause })
  }
}
