import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

const KERNEL_BOOT_ID = '/proc/sys/kernel/random/boot_id'

/**
 * Names this boot of the host. Hosts that share a kernel (a lab) are told apart by a file whose content changes with
 * each power-on; a missing file counts as empty.
 */
export function readBootId(options: {
  bootIdFile?: string | undefined
  kernelFile?: string
}): string {
  const hash = createHash('sha256').update(readFileSync(options.kernelFile ?? KERNEL_BOOT_ID))
  if (options.bootIdFile !== undefined) hash.update('\0').update(readOrEmpty(options.bootIdFile))
  return hash.digest('hex').slice(0, 32)
}

function readOrEmpty(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}
