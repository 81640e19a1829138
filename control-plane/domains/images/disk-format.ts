import { open } from 'node:fs/promises'
import { broken } from './archive.ts'

/** Formats of disks that are understood, by the names that qemu-img gives them. */
export type DiskFormat = 'raw' | 'qcow2' | 'vmdk'

/** The largest disk of a VM. */
export const VIRTUAL_BYTES_MAX = 64 * 2 ** 40
/** Two sectors of the largest kind, so that a partition table of either kind is in it. */
const HEAD_BYTES = 8_192
const SECTOR_BYTES = 512
const PARTITIONS_OFFSET = 446
const PARTITION_BYTES = 16
const TYPE_PROTECTIVE = 0xee

/** What people try to import and what is not understood; said by its name, the way out is the same for all. */
const STRANGERS: readonly (readonly [what: string, offset: number, magic: string])[] = [
  ['VHDX disk', 0, 'vhdxfile'],
  ['VHD disk', 0, 'conectix'],
  ['VDI disk', 64, '\x7f\x10\xda\xbe'],
  ['QED disk', 0, 'QED\0'],
  ['ESX sparse disk', 0, 'COWD'],
  ['file packed with xz', 0, '\xfd7zXZ\0'],
  ['file packed with zstd', 0, '\x28\xb5\x2f\xfd'],
  ['file packed with bzip2', 0, 'BZh'],
]

/**
 * Which disk the file is, by its first bytes; undefined if it is none (an archive, say). IMAGE_BROKEN for disks of other
 * formats, and for those that are cut short.
 */
export async function recogniseDisk(path: string): Promise<DiskFormat | undefined> {
  const { bytes, fileBytes } = await readHead(path, HEAD_BYTES)
  return diskFormatOf(bytes, fileBytes)
}

export async function readHead(
  path: string,
  bytesMax: number,
): Promise<{ bytes: Buffer; fileBytes: number }> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const bytes = Buffer.alloc(Math.min(bytesMax, size))
    let at = 0
    while (at < bytes.length) {
      const { bytesRead } = await file.read(bytes, at, bytes.length - at, at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    return { bytes: bytes.subarray(0, at), fileBytes: size }
  } finally {
    await file.close()
  }
}

/** Pure. `head` is at least the first 8 KiB of the file, or all of it. */
export function diskFormatOf(head: Buffer, fileBytes: number): DiskFormat | undefined {
  const has = (magic: string, at = 0): boolean =>
    head.toString('latin1', at, at + magic.length) === magic
  // A tar begins with the name of its first file, which may be anything.
  if (has('ustar', 257)) return undefined
  if (has('QFI\xfb')) return 'qcow2'
  if (has('KDMV')) return 'vmdk'
  if (has('# Disk DescriptorFile'))
    throw broken('This vmdk is only a description: the disk lies in other files.', {
      next: 'give one file with all in it: qemu-img convert -O qcow2 THIS.vmdk DISK.qcow2',
    })
  for (const [what, at, magic] of STRANGERS) {
    if (!has(magic, at)) continue
    throw broken(`The file is a ${what}, which is not understood.`, {
      next: 'give a raw, qcow2 or vmdk disk (plain or gzip), a kernel tar, or an archive of containers',
    })
  }
  if (has('EFI PART', SECTOR_BYTES) || has('EFI PART', 4_096)) return 'raw'
  return hasPartitions(head, fileBytes) ? 'raw' : undefined
}

/**
 * Whether the first sector is a master boot record with partitions that begin inside the file. A tar never is: what
 * would be the signature is padding of its first header.
 */
function hasPartitions(head: Buffer, fileBytes: number): boolean {
  if (head.length < SECTOR_BYTES || head.readUInt16LE(SECTOR_BYTES - 2) !== 0xaa55) return false
  let partitions = 0
  for (let index = 0; index < 4; index++) {
    const at = PARTITIONS_OFFSET + index * PARTITION_BYTES
    const [status, type] = [head.readUInt8(at), head.readUInt8(at + 4)]
    const [first, count] = [head.readUInt32LE(at + 8), head.readUInt32LE(at + 12)]
    if (status !== 0 && status !== 0x80) return false
    if (type === 0) continue
    if (count === 0) return false
    partitions++
    const endBytes = (first + count) * SECTOR_BYTES
    if (type !== TYPE_PROTECTIVE && endBytes > fileBytes)
      throw broken(
        `The disk is cut short: partition ${index + 1} ends at byte ${endBytes}, the file at ${fileBytes}.`,
        { next: 'fetch or copy the file again' },
      )
  }
  return partitions > 0
}
