import { parseIpv4 } from '@nubo/base'
import { priority } from '../pipeline.ts'
import type { PlacedSubnet } from '../placed.ts'
import {
  destination,
  layer,
  whereRegisters,
  writeRegisters,
  type RegisterValues,
} from '../registers.ts'
import { ethernet, goto, set, type Feature, type Row } from './feature.ts'

/**
 * Table `locate`: where is the destination? A bridged packet (and whatever comes out of a tunnel) is looked up by
 * MAC, a routed one by address, which also gives it the receiver's MAC. The table decides for a port here or for
 * {network, vtep}; how a tunnel is made is not its business, nor is who may use one.
 */
export const locate: Feature = {
  name: 'locate',

  localPort: (port, subnet) =>
    lookups(port, subnet, { destination: destination.port, destinationPort: port.ofport }),

  remotePort: (port, subnet) =>
    lookups(port, subnet, {
      destination: destination.vtep,
      destinationVtep: addressNumber(port.vtep),
    }),
}

function lookups(
  port: { readonly mac: string; readonly address: string },
  subnet: PlacedSubnet,
  place: RegisterValues,
): Row[] {
  const actions = [...writeRegisters(place), goto('deliver')]
  return [
    {
      table: 'locate',
      priority: priority.normal,
      match: {
        ...whereRegisters({ network: subnet.vni, layer: layer.bridged }),
        ethDst: port.mac,
      },
      actions,
    },
    {
      table: 'locate',
      priority: priority.normal,
      match: {
        ...whereRegisters({ network: subnet.vni, layer: layer.routed }),
        ethType: ethernet.ipv4,
        ipv4Dst: port.address,
      },
      actions: [set('ethDst', port.mac), ...actions],
    },
  ]
}

function addressNumber(text: string): number {
  const address = parseIpv4(text)
  if (address === undefined) throw new Error(`address ${text} was not checked`)
  return address
}
