/** Frames as tcpdump saw them between a Linux kernel and a udhcpc; spaces are for the reader. */
export const capturedFrames = {
  arpRequest:
    'ffffffffffff fa163e000001 0806 0001 0800 06 04 0001 fa163e000001 0a090001 000000000000 0a090002',
  arpReply:
    'fa163e000001 fa163e000002 0806 0001 0800 06 04 0002 fa163e000002 0a090002 fa163e000001 0a090001',
  echoRequest:
    'fa163e000002 fa163e000001 0800 45000028cd60400040015960 0a090001 0a090002' +
    '0800 7c6a 5d70 0001 000102030405060708090a0b',
  echoReply:
    'fa163e000001 fa163e000002 0800 4500002854cb0000400111f6 0a090002 0a090001' +
    '0000 846a 5d70 0001 000102030405060708090a0b',
  /** Left by a kernel that counts on the card to complete the checksum; tcpdump says it should be 0xfb16. */
  partialUdp:
    'fa163e000002 fa163e000001 0800 45000021c63a40004011607d 0a090001 0a090002' +
    'accd 0009 000d 1433 68656c6c6f',
  portUnreachable:
    'fa163e000001 fa163e000002 0800 45c0003d54cc000040011120 0a090002 0a090001' +
    '0303 f813 0000 0000 45000021c63a40004011607d 0a090001 0a090002 accd0009000d1433 68656c6c6f',
  /** The start of a real DHCPDISCOVER; 300 bytes of BOOTP follow the eight of UDP. */
  discover:
    'ffffffffffff fa163e000001 0800 4500014800000000401179a6 00000000 ffffffff' +
    `0044 0043 0134 e985 010106003877cb53 ${'00'.repeat(20)} fa163e000001 ${'00'.repeat(202)}` +
    '63825363 350101 39020240 37090103060c0f1a1c2a79 0c0767756573742d31' +
    '3c0c756468637020312e33352e30 3d0701fa163e000001 ff 000000000000000000',
} as const

export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

/** A copy in which the bytes at `at` are others. */
export function withBytes(bytes: Uint8Array, at: number, ...others: number[]): Uint8Array {
  const copy = bytes.slice()
  copy.set(others, at)
  return copy
}
