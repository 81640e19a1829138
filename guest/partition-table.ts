export const SECTOR_BYTES = 512

const BOOT_CODE_BYTES_MAX = 440
const TABLE_OFFSET = 446
const BOOTABLE = 0x80
/** FAT32, addressed by sector. */
const TYPE_FAT32_LBA = 0x0c
// Cylinder, head and sector of what lies beyond their reach; BIOSes then go by sector numbers.
const NO_CYLINDER = Buffer.from([0xfe, 0xff, 0xff])

/**
 * The first sector of a disk with one bootable FAT32 partition. `bootCode` finds that partition and starts what lies in it.
 * Throws RangeError for numbers that the table cannot hold.
 */
export function masterBootRecord(options: {
  readonly bootCode: Uint8Array
  readonly firstSector: number
  readonly sectorCount: number
}): Buffer {
  const { bootCode, firstSector, sectorCount } = options
  if (bootCode.length === 0 || bootCode.length > BOOT_CODE_BYTES_MAX)
    throw new RangeError(`boot code of ${bootCode.length} bytes; 1 to ${BOOT_CODE_BYTES_MAX}`)
  for (const [name, value] of Object.entries({ firstSector, sectorCount })) {
    if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff)
      throw new RangeError(`${name} is ${value}; 1 to ${0xffff_ffff}`)
  }
  const sector = Buffer.alloc(SECTOR_BYTES)
  sector.set(bootCode)
  sector[TABLE_OFFSET] = BOOTABLE
  sector.set(NO_CYLINDER, TABLE_OFFSET + 1)
  sector[TABLE_OFFSET + 4] = TYPE_FAT32_LBA
  sector.set(NO_CYLINDER, TABLE_OFFSET + 5)
  sector.writeUInt32LE(firstSector, TABLE_OFFSET + 8)
  sector.writeUInt32LE(sectorCount, TABLE_OFFSET + 12)
  sector.writeUInt16LE(0xaa55, SECTOR_BYTES - 2)
  return sector
}
