import { broken } from './archive.ts'
import { readHead, VIRTUAL_BYTES_MAX } from './disk-format.ts'
import type { CheckedHeader } from './qcow2-header.ts'

// VMware, Virtual Disk Format 5.0: the header of a hosted sparse extent.
const SECTOR_BYTES = 512
const VERSION_MAX = 3
/** Where all writers put it, and where QEMU looks for a parent whatever the header says. */
const DESCRIPTOR_SECTOR = 1n
const DESCRIPTOR_SECTORS_MAX = 2_048
const GRAIN_SECTORS_MAX = 2 ** 16
const HEAD_BYTES = (DESCRIPTOR_SECTORS_MAX + 1) * SECTOR_BYTES
const CREATE_TYPES: ReadonlySet<string> = new Set(['monolithicSparse', 'streamOptimized'])

/** IMAGE_BROKEN unless the file is a vmdk disk that stands for itself: nothing outside of it is ever to be read. */
export async function checkVmdk(path: string): Promise<CheckedHeader> {
  const { bytes, fileBytes } = await readHead(path, HEAD_BYTES)
  return checkVmdkHeader(bytes, fileBytes)
}

/** Pure. */
export function checkVmdkHeader(head: Buffer, fileBytes: number): CheckedHeader {
  if (head.length < 2 * SECTOR_BYTES || head.toString('latin1', 0, 4) !== 'KDMV')
    throw refused('has no whole header', 'fetch or copy the file again')
  const version = head.readUInt32LE(4)
  if (version < 1 || version > VERSION_MAX) throw refused(`has version ${version}`)
  const virtualBytes = sizeOf(head.readBigUInt64LE(12))
  const grainSectors = head.readBigUInt64LE(20)
  const isPower = grainSectors > 0n && (grainSectors & (grainSectors - 1n)) === 0n
  if (!isPower || grainSectors > BigInt(GRAIN_SECTORS_MAX))
    throw refused(`has grains of ${grainSectors} sectors`)
  if (head.readUInt32LE(44) !== 512)
    throw refused(`has tables of ${head.readUInt32LE(44)} entries; all others have 512`)
  const offset = head.readBigUInt64LE(28)
  const sectors = head.readBigUInt64LE(36)
  const end = (offset + sectors) * BigInt(SECTOR_BYTES)
  if (offset !== DESCRIPTOR_SECTOR || sectors < 1n || sectors > BigInt(DESCRIPTOR_SECTORS_MAX))
    throw refused('has no description where it belongs')
  if (end > BigInt(fileBytes)) throw refused('is cut short', 'fetch or copy the file again')
  checkDescriptor(head.subarray(SECTOR_BYTES, Number(end)).toString('latin1'))
  return { virtualBytes }
}

/** QEMU takes a size of 0 for a sign that the description names the files, so 0 is more than senseless. */
function sizeOf(capacitySectors: bigint): number {
  const virtualBytes = capacitySectors * BigInt(SECTOR_BYTES)
  if (virtualBytes < 1n || virtualBytes > BigInt(VIRTUAL_BYTES_MAX))
    throw broken(`The vmdk disk claims a size of ${virtualBytes} bytes.`, {
      limit: `1 to ${VIRTUAL_BYTES_MAX} bytes`,
      next: 'make the disk smaller, then import it again',
    })
  return Number(virtualBytes)
}

function checkDescriptor(text: string): void {
  // Readers stop at different places; what could lead elsewhere must be nowhere, also behind the end of the text.
  if (/parentFileNameHint/i.test(text)) throw refused('needs another file (a parent disk)')
  const lines = text.slice(0, `${text}\0`.indexOf('\0')).split(/\r?\n/)
  const valueOf = (key: string): string | undefined =>
    lines
      .map((line) => /^\s*(\w+)\s*=\s*"?([^"]*?)"?\s*$/.exec(line))
      .find((match) => match?.[1] === key)?.[2]
  const parent = valueOf('parentCID') ?? 'ffffffff'
  if (parent.toLowerCase() !== 'ffffffff') throw refused('needs another file (a parent disk)')
  const createType = valueOf('createType')
  if (createType === undefined || !CREATE_TYPES.has(createType))
    throw refused(`is of the kind ${JSON.stringify((createType ?? '').slice(0, 60))}`)
  const extents = lines.filter((line) => /^\s*(RW|RDONLY|NOACCESS)\s/.test(line))
  const [extent = ''] = extents
  const name = /^\s*RW\s+\d+\s+SPARSE\s+"([^"]*)"\s*$/.exec(extent)?.[1]
  if (extents.length !== 1 || name === undefined || name.includes('/') || name.includes('\\'))
    throw refused(`has ${extents.length} extents, or one that lies in another file`)
}

function refused(
  what: string,
  next = 'give one file with all in it: qemu-img convert -O qcow2 THIS.vmdk DISK.qcow2',
) {
  return broken(
    `The vmdk disk ${what}; monolithicSparse and streamOptimized in one file are understood.`,
    { format: 'vmdk', next },
  )
}
