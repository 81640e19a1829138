// Linux, arch/x86/boot.rst: the header of a bzImage.
const SETUP_SECTORS = 0x1f1
const MAGIC = 0x202
const PROTOCOL = 0x206
const PAYLOAD_OFFSET = 0x248
const PAYLOAD_LENGTH = 0x24c
const HEADER_BYTES = 0x250
// payload_offset is there since 2.08.
const PROTOCOL_MIN = 0x0208
const LZ4_LEGACY_MAGIC = 0x184c2102

export interface KernelPayload {
  /** The compressed kernel, as `lz4 -d` takes it. */
  readonly lz4: Uint8Array
  /** What has to come out. */
  readonly vmlinuxBytes: number
}

/** The kernel that lies packed in a bzImage. Throws RangeError, with what is wrong, for anything else and for other packings. */
export function kernelPayload(bzImage: Uint8Array): KernelPayload {
  const image = Buffer.from(bzImage.buffer, bzImage.byteOffset, bzImage.byteLength)
  if (image.length < HEADER_BYTES || image.toString('latin1', MAGIC, MAGIC + 4) !== 'HdrS')
    throw new RangeError('no header of a bzImage')
  const protocol = image.readUInt16LE(PROTOCOL)
  if (protocol < PROTOCOL_MIN)
    throw new RangeError(`boot protocol ${protocol.toString(16)} is too old`)
  // 0 stands for 4, for the oldest of loaders.
  const setupSectors = image.readUInt8(SETUP_SECTORS) || 4
  const begin = (setupSectors + 1) * 512 + image.readUInt32LE(PAYLOAD_OFFSET)
  const end = begin + image.readUInt32LE(PAYLOAD_LENGTH)
  if (end > image.length || end - begin < 8)
    throw new RangeError(`cut short: it ends at ${image.length} of ${end} bytes`)
  if (image.readUInt32LE(begin) !== LZ4_LEGACY_MAGIC)
    throw new RangeError('the kernel in it is not packed with lz4')
  // The build of Linux writes the size behind it (scripts/Makefile.lib, size_append); lz4 would take it for more data.
  return { lz4: image.subarray(begin, end - 4), vmlinuxBytes: image.readUInt32LE(end - 4) }
}
