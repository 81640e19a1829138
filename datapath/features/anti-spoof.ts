import { priority } from '../pipeline.ts'
import { ethernet, goto, type Feature } from './feature.ts'

/**
 * Table `anti-spoof`: a guest speaks only with its own MAC and its own IPv4 address, in IP and in ARP. What is neither
 * IPv4 nor ARP is dropped.
 */
export const antiSpoof: Feature = {
  name: 'anti-spoof',

  localPort: ({ ofport, mac, address }) => [
    {
      table: 'anti-spoof',
      priority: priority.normal,
      match: { inPort: ofport, ethSrc: mac, ethType: ethernet.ipv4, ipv4Src: address },
      actions: [goto('to-gateway')],
    },
    // The frame's sender and the ARP sender are the same here: arp-reply counts on it.
    {
      table: 'anti-spoof',
      priority: priority.normal,
      match: {
        inPort: ofport,
        ethSrc: mac,
        ethType: ethernet.arp,
        arpSha: mac,
        arpSpa: address,
      },
      actions: [goto('arp')],
    },
  ],
}
