import type { Network, Port, Subnet } from '@nubo/contracts'
import type { NetworkRow, PortRow, SubnetRow, WorldReader } from '../../world/index.ts'
import { guestAddresses } from './network.ts'

export function networkView(world: WorldReader, row: NetworkRow): Network {
  return {
    ...row,
    subnets: world.subnet.countBy('network', row.id),
    ports: world.port.countBy('network', row.id),
  }
}

export function subnetView(world: WorldReader, row: SubnetRow): Subnet {
  const ports = world.port.countBy('subnet', row.id)
  return {
    ...row,
    network: world.network.get(row.networkId)?.name ?? '',
    addressesFree: Math.max(0, guestAddresses(row.cidr) - ports),
    ports,
  }
}

export function portView(world: WorldReader, row: PortRow): Port {
  const { setId, hostId, interfaceName, ownedBySet: _ownedBySet, ...rest } = row
  const set = world.set.get(setId)
  const host = world.host.get(set === undefined ? hostId : set.hostId)
  const binding =
    setId !== null
      ? { kind: 'set' as const, setId, set: set?.name ?? '' }
      : hostId !== null && interfaceName !== null
        ? { kind: 'interface' as const, hostId, host: host?.name ?? '', interfaceName }
        : null
  return {
    ...rest,
    network: world.network.get(row.networkId)?.name ?? '',
    subnet: world.subnet.get(row.subnetId)?.name ?? '',
    binding,
    host: host?.name ?? null,
  }
}
