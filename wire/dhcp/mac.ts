import { readU8 } from './bytes.ts'
import { DhcpEncodeError } from './errors.ts'

// A MAC is text of six groups, in lower case where we write it: 'fa:16:3e:00:00:01'.

export const MAC_BYTES = 6
export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff'

export function readMac(bytes: Uint8Array, at: number): string {
  let text = ''
  for (let index = 0; index < MAC_BYTES; index += 1) {
    const octet = readU8(bytes, at + index)
      .toString(16)
      .padStart(2, '0')
    text += index === 0 ? octet : `:${octet}`
  }
  return text
}

/** Throws DhcpEncodeError for text that is no MAC. Either case is understood. */
export function macBytes(mac: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) {
    throw new DhcpEncodeError(`"${mac.slice(0, 40)}" is no MAC address`)
  }
  return Uint8Array.from(mac.split(':'), (octet) => Number.parseInt(octet, 16))
}
