import { priority } from '../pipeline.ts'
import { destination, register, whereRegisters, writeRegisters } from '../registers.ts'
import type { PlacedSubnet } from '../placed.ts'
import { ethernet, goto, move, set, whole, type Feature, type Row } from './feature.ts'

const ARP_REQUEST = 1
const ARP_REPLY = 2

/**
 * Tables `arp` and `arp-reply`: the host answers who has an address of the sender's subnet, so ARP never leaves the
 * host. `arp` finds the MAC and leaves it as the frame's source; one row of `arp-reply` turns any such request into
 * the answer. Replies, gratuitous ARP and questions about unknown addresses are dropped.
 */
export const arp: Feature = {
  name: 'arp',

  host: () => [
    {
      table: 'arp-reply',
      priority: priority.normal,
      match: { ethType: ethernet.arp },
      actions: [
        set('arpOp', ARP_REPLY),
        move(whole('arpSha'), whole('ethDst')),
        move(whole('arpSha'), whole('arpTha')),
        move(whole('ethSrc'), whole('arpSha')),
        move(whole('arpSpa'), register('swapAddress')),
        move(whole('arpTpa'), whole('arpSpa')),
        move(register('swapAddress'), whole('arpTpa')),
        ...writeRegisters({ destination: destination.back }),
        goto('deliver'),
      ],
    },
  ],

  subnet: (subnet) => [answer(subnet, subnet.gatewayAddress, subnet.gatewayMac)],

  localPort: (port, subnet) => [
    answer(subnet, port.address, port.mac),
    // A guest that asks for its own address looks for somebody else who has it: silence means nobody.
    {
      table: 'arp',
      priority: priority.exception,
      match: { inPort: port.ofport, ethType: ethernet.arp, arpTpa: port.address },
      actions: [],
    },
  ],

  remotePort: (port, subnet) => [answer(subnet, port.address, port.mac)],
}

function answer(subnet: PlacedSubnet, address: string, mac: string): Row {
  return {
    table: 'arp',
    priority: priority.normal,
    match: {
      ...whereRegisters({ network: subnet.vni, sourceSubnet: subnet.cidr.base }),
      ethType: ethernet.arp,
      arpOp: ARP_REQUEST,
      arpTpa: address,
    },
    actions: [set('ethSrc', mac), goto('arp-reply')],
  }
}
