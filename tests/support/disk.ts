import { tarOf, type TarEntry } from './tar.ts'

/** Disks by hand, so that they can also be wrong. */

export const SECTOR_BYTES = 512

/** A raw disk of one partition that begins at the second sector and takes the rest. */
export function rawDisk(sectors = 2_048, mark = 'nubo'): Buffer {
  const disk = Buffer.alloc(sectors * SECTOR_BYTES)
  disk[446] = 0x80
  disk[450] = 0x0c
  disk.writeUInt32LE(1, 454)
  disk.writeUInt32LE(sectors - 1, 458)
  disk.writeUInt16LE(0xaa55, 510)
  disk.write(mark, SECTOR_BYTES)
  return disk
}

export interface Qcow2Fields {
  readonly version?: number
  /** A backing file of this name. */
  readonly backing?: string
  readonly clusterBits?: number
  readonly virtualBytes?: bigint
  readonly encryption?: number
  readonly incompatible?: bigint
  readonly headerBytes?: number
  readonly extensions?: readonly (readonly [type: number, content: string])[]
  readonly l1Offset?: bigint
}

/** A qcow2 of empty clusters: header, L1 table, refcount table, one refcount block. QEMU docs/interop/qcow2.txt. */
export function qcow2Disk(fields: Qcow2Fields = {}): Buffer {
  const CLUSTER = 65_536
  const disk = Buffer.alloc(4 * CLUSTER)
  const { version = 3, headerBytes = 104, virtualBytes = 16n << 20n } = fields
  disk.write('QFI\xfb', 0, 'latin1')
  disk.writeUInt32BE(version, 4)
  disk.writeUInt32BE(fields.clusterBits ?? 16, 20)
  disk.writeBigUInt64BE(virtualBytes, 24)
  disk.writeUInt32BE(fields.encryption ?? 0, 32)
  disk.writeUInt32BE(1, 36)
  disk.writeBigUInt64BE(fields.l1Offset ?? BigInt(CLUSTER), 40)
  disk.writeBigUInt64BE(BigInt(2 * CLUSTER), 48)
  disk.writeUInt32BE(1, 56)
  if (version === 3) {
    disk.writeBigUInt64BE(fields.incompatible ?? 0n, 72)
    disk.writeUInt32BE(4, 96)
    disk.writeUInt32BE(headerBytes, 100)
  }
  let at = version === 3 ? headerBytes : 72
  for (const [type, content] of fields.extensions ?? []) {
    disk.writeUInt32BE(type, at)
    disk.writeUInt32BE(content.length, at + 4)
    disk.write(content, at + 8)
    at += 8 + Math.ceil(content.length / 8) * 8
  }
  if (fields.backing !== undefined) {
    at += 8
    disk.writeBigUInt64BE(BigInt(at), 8)
    disk.writeUInt32BE(fields.backing.length, 16)
    disk.write(fields.backing, at)
  }
  disk.writeBigUInt64BE(BigInt(3 * CLUSTER), 2 * CLUSTER)
  for (let cluster = 0; cluster < 4; cluster++) disk.writeUInt16BE(1, 3 * CLUSTER + 2 * cluster)
  return disk
}

export interface VmdkFields {
  readonly capacitySectors?: bigint
  readonly version?: number
  readonly descriptorSector?: bigint
  readonly createType?: string
  readonly parentCid?: string
  readonly extents?: readonly string[]
  /** Written right behind the text and its end. */
  readonly tail?: string
}

/** A sparse vmdk without a grain: header, description, and tables that say nothing is stored. */
export function vmdkDisk(fields: VmdkFields = {}): Buffer {
  const disk = Buffer.alloc(128 * SECTOR_BYTES)
  disk.write('KDMV', 0)
  disk.writeUInt32LE(fields.version ?? 1, 4)
  disk.writeUInt32LE(1, 8)
  disk.writeBigUInt64LE(fields.capacitySectors ?? 32_768n, 12)
  disk.writeBigUInt64LE(128n, 20)
  disk.writeBigUInt64LE(fields.descriptorSector ?? 1n, 28)
  disk.writeBigUInt64LE(20n, 36)
  disk.writeUInt32LE(512, 44)
  disk.writeBigUInt64LE(21n, 56)
  disk.writeBigUInt64LE(128n, 64)
  disk.write('\n \r\n', 73)
  const text = [
    '# Disk DescriptorFile',
    'version=1',
    'CID=5585ba0a',
    `parentCID=${fields.parentCid ?? 'ffffffff'}`,
    `createType="${fields.createType ?? 'monolithicSparse'}"`,
    ...(fields.extents ?? ['RW 32768 SPARSE "disk.vmdk"']),
    '',
  ].join('\n')
  disk.write(`${text}\0${fields.tail ?? ''}`, SECTOR_BYTES)
  // The grain directory names one table, which is empty.
  disk.writeUInt32LE(22, 21 * SECTOR_BYTES)
  return disk
}

/** Looks like a kernel to a loader, and would not run. */
export function bzImage(mark = 'kernel'): Buffer {
  const kernel = Buffer.alloc(4_096)
  kernel.writeUInt16LE(0xaa55, 0x1fe)
  kernel.write('HdrS', 0x202)
  kernel.write(mark, 1_024)
  return kernel
}

export function kernelTar(more: readonly TarEntry[] = []): Buffer {
  return tarOf([
    { name: 'kernel', content: bzImage() },
    { name: 'initrd', content: 'the first files' },
    ...more,
  ])
}
