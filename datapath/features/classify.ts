import { source, writeRegisters } from '../registers.ts'
import { priority } from '../pipeline.ts'
import { ethernet, goto, untagged, type Feature } from './feature.ts'

/** Table `classify`: which network does the packet belong to, and is its sender here or behind a tunnel? */
export const classify: Feature = {
  name: 'classify',

  localPort: (port, subnet) => [
    {
      table: 'classify',
      priority: priority.normal,
      match: { inPort: port.ofport, ...untagged },
      actions: [
        ...writeRegisters({
          network: subnet.vni,
          source: source.port,
          sourceSubnet: subnet.cidr.base,
        }),
        goto('anti-spoof'),
      ],
    },
  ],

  // The sending host has checked, routed and located the packet; here only its VNI must be known. It arrives with the
  // receiver's MAC, so it is located by that. Only IPv4 is ever sent through a tunnel.
  network: (network, tunnel) => [
    {
      table: 'classify',
      priority: priority.normal,
      match: {
        inPort: tunnel.ofport,
        tunId: network.vni,
        ethType: ethernet.ipv4,
        ...untagged,
      },
      actions: [...writeRegisters({ network: network.vni, source: source.tunnel }), goto('locate')],
    },
  ],
}
