import type { HostId, NetworkId, PortId } from '@nubo/base'
import {
  wantedKey,
  type WantedItem,
  type WantedNetwork,
  type WantedPort,
  type WantedSet,
  type WantedVm,
} from '@nubo/contracts/host'
import {
  instanceOf,
  instancesBy,
  isLeaving,
  type InstanceRow,
  type NetworkRow,
  type PortRow,
  type SetRow,
  type VmRow,
  type World,
} from '../world/index.ts'

/**
 * The part of the world that one host gets to see: its instances, the networks that have a port on it, and every port of
 * those networks. Pure: the world in, items out.
 */
export function hostSlice(world: World, hostId: HostId): Map<string, WantedItem> {
  const items: WantedItem[] = []
  const networkIds = new Set<NetworkId>()
  for (const row of instancesBy(world, 'host', hostId)) {
    const item = wantedInstance(world, row)
    if (item === undefined) continue
    items.push(item)
    for (const port of world.port.by('instance', row.id)) networkIds.add(port.networkId)
  }
  for (const port of world.port.by('host', hostId)) networkIds.add(port.networkId)
  for (const networkId of networkIds) {
    const network = world.network.get(networkId)
    if (network !== undefined) items.push(wantedNetwork(world, network))
    for (const port of world.port.by('network', networkId)) {
      const item = wantedPort(world, { hostId, port })
      if (item !== undefined) items.push(item)
    }
  }
  return new Map(items.map((item) => [wantedKey(item), item]))
}

/** Whether some port of a network is on a host; `LocalPorts` answers without a search. */
export interface Locality {
  isLocal(hostId: HostId, networkId: NetworkId): boolean
}

/** One item of `hostSlice(world, hostId)`, or undefined where that has none of this key. */
export function sliceItem(
  world: World,
  asked: { hostId: HostId; key: string; locality: Locality },
): WantedItem | undefined {
  const { hostId, key, locality } = asked
  const slash = key.indexOf('/')
  const id = key.slice(slash + 1)
  switch (key.slice(0, slash)) {
    case 'set':
    case 'vm': {
      const row = instanceOf(world, id)
      return row?.hostId === hostId ? wantedInstance(world, row) : undefined
    }
    case 'network': {
      const network = world.network.get(id)
      if (network === undefined || !locality.isLocal(hostId, network.id)) return undefined
      return wantedNetwork(world, network)
    }
    case 'port': {
      const port = world.port.get(id)
      if (port === undefined || !locality.isLocal(hostId, port.networkId)) return undefined
      return wantedPort(world, { hostId, port })
    }
    default:
      throw new Error(`no item has a key like ${key}`)
  }
}

/** The host that a port is on now: its instance's, unless that goes away, or the one whose interface it is bound to. */
export function hostOfPort(world: World, port: PortRow): HostId | undefined {
  const instanceId = instanceIdOf(port)
  if (instanceId === null) return port.hostId ?? undefined
  const row = instanceOf(world, instanceId)
  return row === undefined || isEnding(row) ? undefined : (row.hostId ?? undefined)
}

/** Of the set or VM that the port is bound to. */
function instanceIdOf(port: PortRow): InstanceRow['id'] | null {
  // A row of a server that does not know VMs is without the column.
  return port.setId ?? port.vmId
}

/** Whether its host is to end it, because it is removed or moves to another host. */
function isEnding(row: InstanceRow): boolean {
  return row.wanted === 'removed' || isLeaving(row)
}

/** Whether a host may pull a repository: only for one of its instances. */
export function usesRepository(world: World, hostId: HostId, repository: string): boolean {
  return instancesBy(world, 'host', hostId).some(
    (row) => !isEnding(row) && imagesOf(row).some((image) => image.repository === repository),
  )
}

function imagesOf(row: InstanceRow): readonly { readonly repository: string }[] {
  return 'containers' in row ? row.containers.map(({ image }) => image) : [row.machine.image]
}

/** Undefined if its host is to end it. */
function wantedInstance(world: World, row: InstanceRow): WantedSet | WantedVm | undefined {
  if ('containers' in row)
    return row.wanted === 'removed' || isLeaving(row)
      ? undefined
      : wantedSet(world, row, row.wanted)
  return row.wanted === 'removed' || isLeaving(row) ? undefined : wantedVm(world, row, row.wanted)
}

function wantedVm(world: World, vm: VmRow, run: WantedVm['run']): WantedVm {
  const { id, projectId, name, generation, epoch, restartCount, recovery } = vm
  const { imageName: _imageName, ...machine } = vm.machine
  return {
    kind: 'vm',
    id,
    projectId,
    name,
    generation,
    epoch,
    run,
    restartCount,
    recovery,
    ...machine,
    portIds: portIdsOf(world, vm),
  }
}

function wantedSet(world: World, set: SetRow, run: WantedSet['run']): WantedSet {
  return {
    kind: 'set',
    id: set.id,
    projectId: set.projectId,
    name: set.name,
    generation: set.generation,
    epoch: set.epoch,
    run,
    restartCount: set.restartCount,
    recovery: set.recovery,
    cpuMillis: set.cpuMillis,
    memoryBytes: set.memoryBytes,
    containers: set.containers
      .map(({ imageId: _imageId, imageName: _imageName, ...container }) => container)
      .toSorted((a, b) => a.index - b.index),
    portIds: portIdsOf(world, set),
  }
}

/** In the order of names, which is the order of eth0, eth1, … */
function portIdsOf(world: World, row: InstanceRow): PortId[] {
  return world.port
    .by('instance', row.id)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((port) => port.id)
}

function wantedNetwork(world: World, network: NetworkRow): WantedNetwork {
  return {
    kind: 'network',
    id: network.id,
    vni: network.vni,
    mtuBytes: network.mtuBytes,
    subnets: world.subnet
      .by('network', network.id)
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ id, cidr, gatewayAddress, gatewayMac }) => ({
        id,
        cidr,
        gatewayAddress,
        gatewayMac,
      })),
  }
}

/** Undefined while the port is nowhere, or on another host that has no tunnel end. */
function wantedPort(
  world: World,
  { hostId, port }: { hostId: HostId; port: PortRow },
): WantedPort | undefined {
  const at = hostOfPort(world, port)
  if (at === undefined) return undefined
  if (at !== hostId) {
    const vtep = world.host.get(at)?.vtepAddress ?? null
    return vtep === null ? undefined : remotePort(port, vtep)
  }
  if (port.setId !== null) return portItem(port, { on: 'set', setId: port.setId })
  // A row of a server that does not know the column is without it.
  if (port.vmId !== null) return portItem(port, { on: 'vm', vmId: port.vmId })
  if (port.interfaceName === null) return undefined
  return portItem(port, { on: 'interface', interfaceName: port.interfaceName })
}

/** Every other host of the network gets the same item, so it is made (and encoded) once. Rows never change. */
const remotePorts = new WeakMap<PortRow, { vtep: string; item: WantedPort }>()

function remotePort(port: PortRow, vtep: string): WantedPort {
  const known = remotePorts.get(port)
  if (known?.vtep === vtep) return known.item
  const item = portItem(port, { on: 'remote', vtep })
  remotePorts.set(port, { vtep, item })
  return item
}

function portItem(port: PortRow, at: WantedPort['at']): WantedPort {
  const { id, networkId, subnetId, mac, address } = port
  return { kind: 'port', id, networkId, subnetId, mac, address, at }
}
