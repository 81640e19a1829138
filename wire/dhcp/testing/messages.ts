export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
}

/** A message written by hand: the words of its fixed part, then its options; spaces are for the reader. */
export function messageHex(parts: {
  readonly head: string
  readonly addresses: string
  readonly mac: string
  readonly serverName?: string
  readonly file?: string
  readonly options: string
}): Uint8Array {
  const field = (hex: string, bytes: number): string =>
    hex.replaceAll(/\s/g, '').padEnd(2 * bytes, '0')
  return bytesOf(
    parts.head +
      parts.addresses +
      field(parts.mac, 16) +
      field(parts.serverName ?? '', 64) +
      field(parts.file ?? '', 128) +
      '63825363' +
      parts.options,
  )
}

/** As tcpdump saw it on its way from udhcpc of busybox 1.35: `-O staticroutes -O mtu -x hostname:guest-1`. */
export const discoverOfUdhcpc: Uint8Array = messageHex({
  head: '01010600 3877cb53 0000 0000',
  addresses: '00000000 00000000 00000000 00000000',
  mac: 'fa163e000001',
  options:
    '350101 39020240 37090103060c0f1a1c2a79 0c0767756573742d31' +
    '3c0c756468637020312e33352e30 3d0701fa163e000001 ff 000000000000000000',
})
