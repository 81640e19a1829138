import { statfs, stat } from 'node:fs/promises'
import { unreachable, PlatformError } from '@nubo/base'
import { broken, digestOf, UNPACKED_BYTES_MAX, unpackedLimit } from './archive.ts'
import { VIRTUAL_BYTES_MAX, type DiskFormat } from './disk-format.ts'
import { checkQcow2 } from './qcow2-header.ts'
import { openDisk } from './qemu-img.ts'
import type { UnpackedVm } from './vm-artifact.ts'
import { checkVmdk } from './vmdk-header.ts'

/** What the disk of the server keeps free for all else. */
const FREE_RESERVE_BYTES = 2 ** 30
/** For the header and what is rounded. */
const SLACK_BYTES = 16 * 2 ** 20

/**
 * A disk that was checked, and then made anew as a qcow2 with only what a VM sees: no snapshots, no bitmaps, no words of
 * who made it. Not compressed, for all VMs of a host read through it. IMAGE_BROKEN, TOO_LARGE, HOST_DISK_FULL.
 */
export async function unpackDisk(
  path: string,
  asked: { folder: string; format: DiskFormat; signal: AbortSignal },
): Promise<UnpackedVm> {
  const { folder, format } = asked
  const uploadBytes = (await stat(path)).size
  const claimedBytes = await claimOf(path, format, uploadBytes)
  const disk = await openDisk(path, asked)
  const virtualBytes = await disk.virtualBytes()
  // Raw disks are taken as whole sectors.
  if (format !== 'raw' && virtualBytes !== claimedBytes)
    throw broken(`The disk claims ${claimedBytes} bytes and has ${virtualBytes}.`)
  const neededBytes = neededFor({ virtualBytes, ...(await disk.measure()) })
  await checkRoom(neededBytes, { uploadBytes, folder })
  const made = await disk.convert({ bytesMax: neededBytes + SLACK_BYTES })
  const checked = await checkQcow2(made)
  if (checked.virtualBytes !== virtualBytes)
    throw broken(`The disk has ${virtualBytes} bytes and became ${checked.virtualBytes}.`)
  return {
    source: format,
    layers: [await digestOf(made)],
    vm: { kind: 'disk', format: 'qcow2', virtualBytes, commandLine: null },
  }
}

/** Our own look at the header, before anything else opens the file. */
async function claimOf(path: string, format: DiskFormat, fileBytes: number): Promise<number> {
  switch (format) {
    case 'raw':
      if (fileBytes > VIRTUAL_BYTES_MAX) throw broken('The disk is too large.')
      return fileBytes
    case 'qcow2':
      return (await checkQcow2(path)).virtualBytes
    case 'vmdk':
      return (await checkVmdk(path)).virtualBytes
    default:
      return unreachable(format)
  }
}

/**
 * How large the qcow2 becomes at most. `tableBytes` are those of a full disk; of an empty one of many TiB they would be
 * GiBs. But what is stored needs in the worst case one table, which is as large as a cluster, for each of its clusters. Pure.
 */
export function neededFor(disk: {
  readonly virtualBytes: number
  readonly storedBytes: number
  readonly tableBytes: number
}): number {
  const { virtualBytes, storedBytes, tableBytes } = disk
  // Eight bytes for each table of 8,192 clusters; it is there also for an empty disk.
  const rootBytes = Math.ceil(virtualBytes / 2 ** 26)
  return storedBytes + Math.min(tableBytes, storedBytes + rootBytes)
}

/** The size that a VM sees may be huge and empty; what counts is what is stored of it. */
async function checkRoom(
  neededBytes: number,
  { uploadBytes, folder }: { uploadBytes: number; folder: string },
): Promise<void> {
  const limitBytes = unpackedLimit(uploadBytes, UNPACKED_BYTES_MAX)
  if (neededBytes > limitBytes)
    throw new PlatformError(
      'TOO_LARGE',
      {
        limit: `${limitBytes} bytes`,
        neededBytes,
        uploadBytes,
        next: 'import a disk with less in it',
      },
      { message: `The disk of ${uploadBytes} bytes unpacks to ${neededBytes} bytes.` },
    )
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = Math.max(0, bavail * bsize - FREE_RESERVE_BYTES)
  if (neededBytes > freeBytes)
    throw new PlatformError(
      'HOST_DISK_FULL',
      { neededBytes, freeBytes, next: 'free space on the server, then import again' },
      {
        message: `The disk needs ${neededBytes} bytes on the server, which has ${freeBytes} to spare.`,
      },
    )
}
