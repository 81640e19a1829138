import type { Network, Port, Subnet } from '@nubo/contracts'
import {
  instanceOf,
  type NetworkRow,
  type PortRow,
  type SubnetRow,
  type WorldReader,
} from '../../world/index.ts'
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
  const { setId, vmId, hostId, interfaceName: _name, ownedBySet: _ownedBySet, ...rest } = row
  const instance = instanceOf(world, setId ?? vmId)
  const host = world.host.get(instance === undefined ? hostId : instance.hostId)
  return {
    ...rest,
    network: world.network.get(row.networkId)?.name ?? '',
    subnet: world.subnet.get(row.subnetId)?.name ?? '',
    binding: bindingOf(row, { instance: instance?.name ?? '', host: host?.name ?? '' }),
    host: host?.name ?? null,
  }
}

function bindingOf(
  { setId, vmId, hostId, interfaceName }: PortRow,
  names: { instance: string; host: string },
): Port['binding'] {
  if (setId !== null) return { kind: 'set', setId, set: names.instance }
  if (vmId !== null) return { kind: 'vm', vmId, vm: names.instance }
  if (hostId !== null && interfaceName !== null)
    return { kind: 'interface', hostId, host: names.host, interfaceName }
  return null
}
