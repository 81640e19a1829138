import { priority } from '../pipeline.ts'
import { destination, layer, register, whereRegisters, writeRegisters } from '../registers.ts'
import { ethernet, goto, move, set, whole, type Feature } from './feature.ts'

const IP_PROTOCOL_ICMP = 1
const ECHO_REQUEST = 8
const ECHO_REPLY = 0
/** The recommended initial time to live (IANA, Internet Protocol parameters). */
const GATEWAY_TTL = 64

/**
 * Tables `to-gateway` and `gateway`: a packet sent to the MAC of its subnet's gateway is routed, any other is bridged.
 * The gateway exists on every host; it answers pings and nothing else.
 */
export const gateway: Feature = {
  name: 'gateway',

  subnet: (subnet) => [
    {
      table: 'to-gateway',
      priority: priority.normal,
      match: {
        ...whereRegisters({ network: subnet.vni, sourceSubnet: subnet.cidr.base }),
        ethDst: subnet.gatewayMac,
      },
      actions: [...writeRegisters({ layer: layer.routed }), goto('gateway')],
    },
    // Any gateway of the network answers any guest of it, as a router answers on all its addresses. The answer comes
    // from the MAC that was asked: the gateway of the sender's own subnet. Pings too long for one packet get no answer:
    // OVS shows no ICMP type in fragments.
    {
      table: 'gateway',
      priority: priority.exception,
      match: {
        ...whereRegisters({ network: subnet.vni }),
        ethType: ethernet.ipv4,
        ipProto: IP_PROTOCOL_ICMP,
        icmpType: ECHO_REQUEST,
        icmpCode: 0,
        ipv4Dst: subnet.gatewayAddress,
      },
      actions: [
        move(whole('ethDst'), register('swapMac')),
        move(whole('ethSrc'), whole('ethDst')),
        move(register('swapMac'), whole('ethSrc')),
        move(whole('ipv4Src'), whole('ipv4Dst')),
        set('ipv4Src', subnet.gatewayAddress),
        set('nwTtl', GATEWAY_TTL),
        set('icmpType', ECHO_REPLY),
        ...writeRegisters({ destination: destination.back }),
        goto('deliver'),
      ],
    },
    {
      table: 'gateway',
      priority: priority.normal,
      match: {
        ...whereRegisters({ network: subnet.vni }),
        ethType: ethernet.ipv4,
        ipv4Dst: subnet.gatewayAddress,
      },
      actions: [],
    },
  ],
}
