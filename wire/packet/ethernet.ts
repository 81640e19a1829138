import { fitting, needBytes, readU16, writeU16 } from './bytes.ts'
import { PacketDecodeError, PacketEncodeError } from './errors.ts'
import { MAC_BYTES, readMac, writeMac } from './mac.ts'

export const ETHER_TYPE_IPV4 = 0x0800
export const ETHER_TYPE_ARP = 0x0806

const HEADER_BYTES = 14
/** Without the check sequence, which no switch hands out (RFC 894: 46 bytes of data at least). */
export const FRAME_BYTES_MIN = 60
/** The longest IPv4 datagram in a frame; switches with segmentation offload do hand them out. */
export const FRAME_BYTES_MAX = HEADER_BYTES + 0xffff
/** Below this the field is a length of 802.3. */
const ETHER_TYPE_MIN = 0x0600
/** 802.1Q, 802.1ad and the older double tag. */
const tagTypes: readonly number[] = [0x8100, 0x88a8, 0x9100]

export interface EthernetFrame {
  readonly destination: string
  readonly source: string
  readonly etherType: number
  /** With the padding of a short frame; the protocol inside knows its own length. When decoded a view of the frame. */
  readonly payload: Uint8Array
}

/** Throws PacketDecodeError: `tooShort`, `tooLong`, `tagged`, `notEthernet2`. Frames below 60 bytes are accepted. */
export function decodeEthernet(frame: Uint8Array): EthernetFrame {
  needBytes(frame, HEADER_BYTES, 'Ethernet')
  if (frame.length > FRAME_BYTES_MAX) {
    throw new PacketDecodeError(
      'tooLong',
      `Ethernet: ${frame.length} bytes, at most ${FRAME_BYTES_MAX}`,
    )
  }
  const etherType = readU16(frame, 2 * MAC_BYTES)
  if (tagTypes.includes(etherType)) {
    throw new PacketDecodeError('tagged', `Ethernet: tagged (0x${etherType.toString(16)})`)
  }
  if (etherType < ETHER_TYPE_MIN) {
    throw new PacketDecodeError('notEthernet2', `Ethernet: ${etherType} is a length, not a type`)
  }
  return {
    destination: readMac(frame, 0),
    source: readMac(frame, MAC_BYTES),
    etherType,
    payload: frame.subarray(HEADER_BYTES),
  }
}

/** Pads with zeros to the 60 bytes that a frame must have. Throws PacketEncodeError. */
export function encodeEthernet(frame: EthernetFrame): Uint8Array {
  const byteCount = HEADER_BYTES + frame.payload.length
  if (byteCount > FRAME_BYTES_MAX) {
    throw new PacketEncodeError(`Ethernet: ${byteCount} bytes, at most ${FRAME_BYTES_MAX}`)
  }
  const etherType = fitting(frame.etherType, 16, 'etherType')
  if (etherType < ETHER_TYPE_MIN || tagTypes.includes(etherType)) {
    throw new PacketEncodeError(
      `etherType: 0x${etherType.toString(16)} is a length or a tag, not a type`,
    )
  }
  const bytes = new Uint8Array(Math.max(byteCount, FRAME_BYTES_MIN))
  writeMac(bytes, 0, frame.destination)
  writeMac(bytes, MAC_BYTES, frame.source)
  writeU16(bytes, 2 * MAC_BYTES, etherType)
  bytes.set(frame.payload, HEADER_BYTES)
  return bytes
}
