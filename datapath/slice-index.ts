import { cidrContains, formatCidr } from '@nubo/base'
import { Journal } from './journal.ts'
import {
  placeNetwork,
  placePort,
  refuse,
  type PlacedNetwork,
  type PlacedPort,
  type PlacedSubnet,
} from './placed.ts'
import type { HostTunnel, NetworkSlice, ObjectKey, SliceChange } from './slice.ts'

/** Who has what in one network; shared by all versions of the network's own item. */
interface NetworkPorts {
  readonly byAddress: Map<number, string>
  readonly byMac: Map<string, string>
  readonly bySubnet: Map<string, Set<string>>
}

interface NetworkEntry {
  readonly placed: PlacedNetwork
  readonly ports: NetworkPorts
}

/**
 * A checked slice, found by any key, so that a change costs what it touches and not what is there.
 * Holds at all times: every port lies in a subnet of its network, no two objects claim one VNI, subnet, address,
 * MAC or bridge port.
 */
export class SliceIndex {
  readonly tunnel: HostTunnel
  readonly #networks = new Map<string, NetworkEntry>()
  readonly #networkByVni = new Map<number, string>()
  readonly #networkBySubnet = new Map<string, string>()
  readonly #ports = new Map<string, PlacedPort>()
  readonly #portByOfport = new Map<number, string>()

  constructor(tunnel: HostTunnel) {
    this.tunnel = tunnel
  }

  network(networkId: string): PlacedNetwork | undefined {
    return this.#networks.get(networkId)?.placed
  }

  subnet(subnetId: string): PlacedSubnet | undefined {
    const networkId = this.#networkBySubnet.get(subnetId)
    return networkId === undefined
      ? undefined
      : this.#networks.get(networkId)?.placed.subnets.get(subnetId)
  }

  port(portId: string): PlacedPort | undefined {
    return this.#ports.get(portId)
  }

  /** The slice as it is now; a copy, in no particular order. */
  slice(): NetworkSlice {
    const ports = [...this.#ports.values()]
    return {
      networks: [...this.#networks.values()].map(({ placed }) => placed.item),
      localPorts: ports.flatMap((port) => (port.kind === 'localPort' ? [port.item] : [])),
      remotePorts: ports.flatMap((port) => (port.kind === 'remotePort' ? [port.item] : [])),
    }
  }

  /**
   * Applies a change and returns the objects whose rows may differ.
   * Throws a SliceError, with nothing changed, if the slice would become invalid.
   */
  apply(change: SliceChange): Set<ObjectKey> {
    const pass = new IndexPass()
    try {
      this.#apply(change, pass)
    } catch (error) {
      pass.journal.rollBack()
      throw error
    }
    return pass.touched
  }

  /** Everything old is taken out before anything new comes in, so that objects may trade addresses in one change. */
  #apply(change: SliceChange, pass: IndexPass): void {
    const putNetworks = (change.putNetworks ?? []).map(placeNetwork)
    const putPorts = [
      ...(change.putLocalPorts ?? []).map((item) => placePort({ kind: 'localPort', item })),
      ...(change.putRemotePorts ?? []).map((item) => placePort({ kind: 'remotePort', item })),
    ]
    refuseDoubles(
      'network',
      putNetworks.map(({ item }) => item.networkId),
    )
    refuseDoubles(
      'port',
      putPorts.map(({ item }) => item.portId),
    )

    for (const portId of change.removePorts ?? []) this.#takePort(pass, portId)
    for (const { item } of putPorts) this.#takePort(pass, item.portId)
    for (const networkId of change.removeNetworks ?? []) this.#takeNetwork(pass, networkId)
    const moved: PlacedPort[] = []
    for (const network of putNetworks) moved.push(...this.#takeForUpdate(pass, network))
    for (const network of putNetworks) this.#putNetwork(pass, network)
    for (const port of moved) this.#putPort(pass, port)
    for (const port of putPorts) this.#putPort(pass, port)
  }

  #takePort(pass: IndexPass, portId: string): void {
    const port = this.#ports.get(portId)
    if (port === undefined) return
    const { journal } = pass
    pass.touched.add(`port/${portId}`)
    journal.delete(this.#ports, portId)
    if (port.kind === 'localPort') journal.delete(this.#portByOfport, port.item.ofport)
    const entry = this.#networks.get(port.item.networkId)
    if (entry === undefined) throw new Error(`port ${portId} is indexed without its network`)
    journal.delete(entry.ports.byAddress, port.address)
    journal.delete(entry.ports.byMac, port.item.mac)
    const siblings = entry.ports.bySubnet.get(port.item.subnetId)
    if (siblings === undefined) throw new Error(`port ${portId} is indexed without its subnet`)
    journal.remove(siblings, portId)
    if (siblings.size === 0) journal.delete(entry.ports.bySubnet, port.item.subnetId)
  }

  #takeNetwork(pass: IndexPass, networkId: string): void {
    const entry = this.#networks.get(networkId)
    if (entry === undefined) return
    for (const portIds of entry.ports.bySubnet.values()) {
      const [portId] = portIds
      refuse(entry.placed.key, 'networkId', 'in_use', `still has port ${portId ?? ''}`)
    }
    this.#takeNetworkKeys(pass, entry.placed)
    pass.journal.delete(this.#networks, networkId)
  }

  #takeNetworkKeys(pass: IndexPass, placed: PlacedNetwork): void {
    pass.touched.add(placed.key)
    pass.journal.delete(this.#networkByVni, placed.vni)
    for (const subnet of placed.subnets.values()) {
      pass.touched.add(subnet.key)
      pass.journal.delete(this.#networkBySubnet, subnet.subnetId)
    }
  }

  /** Takes out what the new version of a network replaces. Returns the ports that must be checked and compiled anew. */
  #takeForUpdate(pass: IndexPass, next: PlacedNetwork): PlacedPort[] {
    const entry = this.#networks.get(next.item.networkId)
    if (entry === undefined) return []
    const moved: PlacedPort[] = []
    for (const [subnetId, portIds] of entry.ports.bySubnet) {
      if (samePlace(entry.placed.subnets.get(subnetId), next.subnets.get(subnetId))) continue
      for (const portId of portIds) {
        const port = this.#ports.get(portId)
        if (port !== undefined) moved.push(port)
      }
    }
    for (const { item } of moved) this.#takePort(pass, item.portId)
    this.#takeNetworkKeys(pass, entry.placed)
    return moved
  }

  #putNetwork(pass: IndexPass, placed: PlacedNetwork): void {
    const { networkId } = placed.item
    const owner = this.#networkByVni.get(placed.vni)
    if (owner !== undefined) {
      refuse(placed.key, 'vni', 'duplicate', `${placed.vni} belongs to network/${owner}`)
    }
    const ports = this.#networks.get(networkId)?.ports ?? {
      byAddress: new Map<number, string>(),
      byMac: new Map<string, string>(),
      bySubnet: new Map<string, Set<string>>(),
    }
    for (const subnet of placed.subnets.values()) {
      const subnetOwner = this.#networkBySubnet.get(subnet.subnetId)
      if (subnetOwner !== undefined) {
        refuse(subnet.key, 'subnetId', 'duplicate', `belongs to network/${subnetOwner}`)
      }
      const { key, gateway, gatewayAddress, gatewayMac } = subnet
      const byAddress = ports.byAddress.get(gateway)
      if (byAddress !== undefined) refuseTaken(key, 'gatewayAddress', gatewayAddress, byAddress)
      const byMac = ports.byMac.get(gatewayMac)
      if (byMac !== undefined) refuseTaken(key, 'gatewayMac', gatewayMac, byMac)
      pass.touched.add(subnet.key)
      pass.journal.set(this.#networkBySubnet, subnet.subnetId, networkId)
    }
    pass.touched.add(placed.key)
    pass.journal.set(this.#networkByVni, placed.vni, networkId)
    pass.journal.set(this.#networks, networkId, { placed, ports })
  }

  #putPort(pass: IndexPass, port: PlacedPort): void {
    const { item, address } = port
    const key: ObjectKey = `port/${item.portId}`
    const entry = this.#networks.get(item.networkId)
    if (entry === undefined) {
      refuse(key, 'networkId', 'unknown_network', `${item.networkId} is not in the slice`)
    }
    const subnet = entry.placed.subnets.get(item.subnetId)
    if (subnet === undefined) {
      refuse(
        key,
        'subnetId',
        'unknown_subnet',
        `${item.subnetId} is not in network/${item.networkId}`,
      )
    }
    if (!cidrContains(subnet.cidr, address)) {
      const range = formatCidr(subnet.cidr)
      refuse(key, 'address', 'outside_subnet', `${item.address} is not in ${range}`)
    }
    this.#refuseIfTaken(key, port, entry)
    const { journal } = pass
    pass.touched.add(key)
    journal.set(this.#ports, item.portId, port)
    journal.set(entry.ports.byAddress, address, item.portId)
    journal.set(entry.ports.byMac, item.mac, item.portId)
    let siblings = entry.ports.bySubnet.get(item.subnetId)
    if (siblings === undefined) {
      siblings = new Set<string>()
      journal.set(entry.ports.bySubnet, item.subnetId, siblings)
    }
    journal.add(siblings, item.portId)
    if (port.kind === 'localPort') journal.set(this.#portByOfport, port.item.ofport, item.portId)
  }

  #refuseIfTaken(key: ObjectKey, port: PlacedPort, { placed, ports }: NetworkEntry): void {
    const { item, address } = port
    if (placed.gatewayAddresses.has(address)) {
      refuse(key, 'address', 'duplicate', `${item.address} is a gateway's address`)
    }
    const addressOwner = ports.byAddress.get(address)
    if (addressOwner !== undefined) refuseTaken(key, 'address', item.address, addressOwner)
    if (placed.gatewayMacs.has(item.mac)) {
      refuse(key, 'mac', 'duplicate', `${item.mac} is a gateway's MAC`)
    }
    const macOwner = ports.byMac.get(item.mac)
    if (macOwner !== undefined) refuseTaken(key, 'mac', item.mac, macOwner)
    if (port.kind === 'remotePort') return
    const { ofport } = port.item
    if (ofport === this.tunnel.ofport) {
      refuse(key, 'ofport', 'tunnel_port', `${ofport} is the tunnel's port`)
    }
    const ofportOwner = this.#portByOfport.get(ofport)
    if (ofportOwner !== undefined) refuseTaken(key, 'ofport', String(ofport), ofportOwner)
  }
}

/** One application of a change: what to take back if it fails, and what to compile anew if it does not. */
class IndexPass {
  readonly journal = new Journal()
  readonly touched = new Set<ObjectKey>()
}

/** Whether the rows of the subnet's ports stay the same: they know its network and its range, not its gateway. */
function samePlace(before: PlacedSubnet | undefined, after: PlacedSubnet | undefined): boolean {
  return (
    before !== undefined &&
    after !== undefined &&
    before.vni === after.vni &&
    before.cidr.base === after.cidr.base &&
    before.cidr.prefix === after.cidr.prefix
  )
}

function refuseTaken(key: ObjectKey, field: string, value: string, portId: string): never {
  refuse(key, field, 'duplicate', `${value} belongs to port/${portId}`)
}

function refuseDoubles(kind: 'network' | 'port', ids: readonly string[]): void {
  const seen = new Set<string>()
  for (const id of ids) {
    if (seen.has(id)) refuse(`${kind}/${id}`, `${kind}Id`, 'duplicate', 'occurs twice')
    seen.add(id)
  }
}

/** A whole slice as the change that makes it from nothing. */
export function sliceAsChange(slice: NetworkSlice): SliceChange {
  return {
    putNetworks: slice.networks,
    putLocalPorts: slice.localPorts,
    putRemotePorts: slice.remotePorts,
  }
}
