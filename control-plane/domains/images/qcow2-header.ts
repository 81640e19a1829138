import { broken } from './archive.ts'
import { readHead, VIRTUAL_BYTES_MAX } from './disk-format.ts'

// QEMU, docs/interop/qcow2.txt.
const V2_HEADER_BYTES = 72
const V3_HEADER_BYTES = 104
const CLUSTER_BITS_MIN = 9
const CLUSTER_BITS_MAX = 21
/** Header and its extensions lie in the first cluster. */
const HEADER_CLUSTER_BYTES_MAX = 2 ** CLUSTER_BITS_MAX
const BIT_CORRUPT = 1n << 1n
const BIT_DATA_FILE = 1n << 2n
/** Dirty (its reference counts may be stale, which only writers mind), the kind of compression, extended L2 entries. */
const BITS_KNOWN = (1n << 0n) | BIT_CORRUPT | BIT_DATA_FILE | (1n << 3n) | (1n << 4n)
const EXTENSION_END = 0
const EXTENSION_ENCRYPTION = 0x0537be77
const EXTENSION_DATA_FILE = 0x44415441
const EXTENSIONS_MAX = 64

export interface CheckedHeader {
  readonly virtualBytes: number
}

/** IMAGE_BROKEN unless the file is a qcow2 disk that stands for itself: nothing outside of it is ever to be read. */
export async function checkQcow2(path: string): Promise<CheckedHeader> {
  const { bytes, fileBytes } = await readHead(path, HEADER_CLUSTER_BYTES_MAX)
  return checkQcow2Header(bytes, fileBytes)
}

/** Pure. */
export function checkQcow2Header(head: Buffer, fileBytes: number): CheckedHeader {
  if (head.length < V2_HEADER_BYTES || head.readUInt32BE(0) !== 0x514649fb)
    throw refused('has no whole header', 'fetch or copy the file again')
  const version = head.readUInt32BE(4)
  if (version !== 2 && version !== 3)
    throw refused(`has version ${version}`, 'convert it: qemu-img convert -O qcow2 OLD NEW')
  if (head.readBigUInt64BE(8) !== 0n || head.readUInt32BE(16) !== 0)
    throw refused(
      'needs another file (a backing file), and nothing but the file itself is read',
      'put both into one: qemu-img convert -O qcow2 OVERLAY.qcow2 WHOLE.qcow2',
    )
  const clusterBits = head.readUInt32BE(20)
  if (clusterBits < CLUSTER_BITS_MIN || clusterBits > CLUSTER_BITS_MAX)
    throw refused(`has clusters of 2^${clusterBits} bytes; 2^9 to 2^21 are possible`)
  if (head.readUInt32BE(32) !== 0)
    throw refused('is encrypted', 'decrypt it first: qemu-img convert with its secret')
  checkTables(head, fileBytes, 2 ** clusterBits)
  checkExtensions(head, version, 2 ** clusterBits)
  return { virtualBytes: sizeOf(head.readBigUInt64BE(24)) }
}

function sizeOf(virtualBytes: bigint): number {
  if (virtualBytes < 1n || virtualBytes > BigInt(VIRTUAL_BYTES_MAX))
    throw broken(`The qcow2 disk claims a size of ${virtualBytes} bytes.`, {
      limit: `1 to ${VIRTUAL_BYTES_MAX} bytes`,
      next: 'make the disk smaller (qemu-img resize --shrink), then import it again',
    })
  return Number(virtualBytes)
}

function checkTables(head: Buffer, fileBytes: number, clusterBytes: number): void {
  const tables = [
    ['L1 table', head.readBigUInt64BE(40), BigInt(head.readUInt32BE(36)) * 8n],
    [
      'refcount table',
      head.readBigUInt64BE(48),
      BigInt(head.readUInt32BE(56)) * BigInt(clusterBytes),
    ],
  ] as const
  for (const [what, offset, lengthBytes] of tables) {
    if (offset % BigInt(clusterBytes) !== 0n || offset + lengthBytes > BigInt(fileBytes))
      throw refused(
        `is cut short or damaged: its ${what} lies at ${offset}, the file has ${fileBytes} bytes`,
        'fetch or copy the file again',
      )
  }
}

/** What only version 3 has in the header, and what may follow the header of both. */
function checkExtensions(head: Buffer, version: number, clusterBytes: number): void {
  let at = V2_HEADER_BYTES
  if (version === 3) {
    if (head.length < V3_HEADER_BYTES) throw refused('has no whole header')
    const bits = head.readBigUInt64BE(72)
    if ((bits & BIT_DATA_FILE) !== 0n)
      throw refused('keeps its data in another file', 'put both into one: qemu-img convert')
    if ((bits & BIT_CORRUPT) !== 0n)
      throw refused('is marked as corrupt', 'repair it: qemu-img check -r all FILE')
    if ((bits & ~BITS_KNOWN) !== 0n)
      throw refused(`uses features that are not known (0x${bits.toString(16)})`)
    at = head.readUInt32BE(100)
    if (at < V3_HEADER_BYTES || at % 8 !== 0 || at > clusterBytes)
      throw refused(`says that its header has ${at} bytes`)
  }
  const end = Math.min(clusterBytes, head.length)
  for (let extensions = 0; at + 8 <= end; extensions++) {
    const [type, lengthBytes] = [head.readUInt32BE(at), head.readUInt32BE(at + 4)]
    if (type === EXTENSION_END) return
    if (type === EXTENSION_ENCRYPTION) throw refused('is encrypted')
    if (type === EXTENSION_DATA_FILE) throw refused('names another file that holds its data')
    at += 8 + Math.ceil(lengthBytes / 8) * 8
    if (at > end || extensions >= EXTENSIONS_MAX) throw refused('has a damaged header extension')
  }
}

function refused(what: string, next = 'make the disk anew: qemu-img convert -O qcow2 OLD NEW') {
  return broken(`The qcow2 disk ${what}.`, { format: 'qcow2', next })
}
