import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { PlatformError } from '@nubo/base'
import { SEALING_KEY_BYTES } from '../domains/fleet/index.ts'

/**
 * Makes the key file if there is none: 32 random bytes that only its owner may read. Idempotent; two processes that
 * start together agree, because a link is made only where nothing is. Losing this file loses the region's CA.
 */
export function prepareKeyFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const fresh = `${path}.${process.pid}.new`
  try {
    writeFileSync(fresh, randomBytes(SEALING_KEY_BYTES), { mode: 0o600, flush: true, flag: 'wx' })
    linkSync(fresh, path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
      throw new PlatformError(
        'SETUP_FAILED',
        { path, next: 'make the folder writable' },
        { message: 'The key file could not be made.', cause: error },
      )
    }
  } finally {
    rmSync(fresh, { force: true })
  }
}

/** The key that seals CA and signing keys. SETUP_FAILED if the file is absent, of a wrong size, or readable by others. */
export function readKeyFile(path: string): Buffer {
  const refuse = (message: string, next: string, cause?: unknown): PlatformError =>
    new PlatformError('SETUP_FAILED', { path, next }, { message, cause })
  let key: Buffer
  let mode: number
  try {
    key = readFileSync(path)
    mode = statSync(path).mode
  } catch (cause) {
    throw refuse('The key file cannot be read.', 'restore it from its backup', cause)
  }
  if ((mode & 0o077) !== 0)
    throw refuse('Others may read the key file.', `chmod 600 ${path}; then replace the key`)
  if (key.length !== SEALING_KEY_BYTES)
    throw refuse(
      `The key file has ${key.length} bytes instead of ${SEALING_KEY_BYTES}.`,
      'restore it from its backup',
    )
  return key
}
