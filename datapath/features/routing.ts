import { formatCidr } from '@nubo/base'
import { priority } from '../pipeline.ts'
import { whereRegisters } from '../registers.ts'
import { ethernet, goto, set, type Feature } from './feature.ts'

/**
 * Table `route`: the way from the gateway to a subnet of the same network. Every host routes for its own guests; the
 * receiver's MAC is set where the receiver is found (`locate`).
 */
export const routing: Feature = {
  name: 'routing',

  // A packet that may take no further hop ends here (RFC 1812, section 5.3.1).
  host: () =>
    [0, 1].map((ttl) => ({
      table: 'route',
      priority: priority.exception,
      match: { ethType: ethernet.ipv4, nwTtl: ttl },
      actions: [],
    })),

  subnet: (subnet) => [
    {
      table: 'route',
      priority: priority.normal,
      match: {
        ...whereRegisters({ network: subnet.vni }),
        ethType: ethernet.ipv4,
        ipv4Dst: formatCidr(subnet.cidr),
      },
      actions: [{ type: 'decTtl' }, set('ethSrc', subnet.gatewayMac), goto('locate')],
    },
  ],
}
