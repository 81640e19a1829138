import {
  compileChange,
  SliceError,
  type FlowProgram,
  type LocalPort,
  type RemotePort,
  type SliceChange,
  type SliceNetwork,
} from '@nubo/datapath'
import type { WantedNetwork, WantedPort } from '@nubo/contracts/host'
import type { FlowChange } from '@nubo/wire-openflow'

/**
 * So many broken objects of one change are left out by trying the whole again without them, which finds objects that
 * are wrong only beside each other. Each try costs the whole change; beyond that the objects are taken one by one.
 */
const TRIES_MAX = 64

export interface WantedNetworks {
  readonly networks: ReadonlyMap<string, WantedNetwork>
  readonly ports: ReadonlyMap<string, WantedPort>
}

/** A change of a slice in parts that can be left out. */
interface Draft {
  readonly removeNetworks: Set<string>
  readonly removePorts: Set<string>
  readonly putNetworks: Map<string, SliceNetwork>
  readonly putLocalPorts: Map<string, LocalPort>
  readonly putRemotePorts: Map<string, RemotePort>
}

export interface Compiled {
  readonly changes: FlowChange[]
  /** Keys of wanted items that could not be compiled, and why; the program goes on as if they had not been said. */
  readonly rejected: ReadonlyMap<string, string>
}

/**
 * Brings the program to what is wanted of the items `keys`. An item that the compiler refuses is left out and named:
 * broken ones, however many, must not keep all others from their flows.
 */
export function compileWanted(
  program: FlowProgram,
  wanted: WantedNetworks,
  keys: Iterable<string>,
  ofportOf: (portId: string) => number | undefined,
): Compiled {
  const rejected = new Map<string, string>()
  const draft = draftOf(wanted, keys, ofportOf, rejected)
  for (let tried = 0; tried < TRIES_MAX; tried += 1) {
    try {
      return { changes: compileChange(program, changeOf(draft)), rejected }
    } catch (error) {
      if (!(error instanceof SliceError)) throw error
      if (!leaveOut(draft, wanted, error, rejected)) break
    }
  }
  return { changes: compileOneByOne(program, draft, rejected), rejected }
}

/** As `compileChange`, at the price that objects cannot trade addresses: which of them comes second is left out. */
function compileOneByOne(
  program: FlowProgram,
  draft: Draft,
  rejected: Map<string, string>,
): FlowChange[] {
  const { removePorts, removeNetworks, putNetworks, putLocalPorts, putRemotePorts } = draft
  // What is replaced goes first, so that it is in nobody's way.
  const changes = compileChange(program, {
    removePorts: [...removePorts, ...putLocalPorts.keys(), ...putRemotePorts.keys()],
  })
  const attempt = (key: string, change: SliceChange): void => {
    try {
      changes.push(...compileChange(program, change))
    } catch (error) {
      if (!(error instanceof SliceError)) throw error
      rejected.set(key, error.message)
    }
  }
  for (const id of removeNetworks) attempt(`network/${id}`, { removeNetworks: [id] })
  for (const [id, network] of putNetworks) attempt(`network/${id}`, { putNetworks: [network] })
  for (const [id, port] of putLocalPorts) attempt(`port/${id}`, { putLocalPorts: [port] })
  for (const [id, port] of putRemotePorts) attempt(`port/${id}`, { putRemotePorts: [port] })
  return changes
}

function draftOf(
  wanted: WantedNetworks,
  keys: Iterable<string>,
  ofportOf: (portId: string) => number | undefined,
  rejected: Map<string, string>,
): Draft {
  const draft: Draft = {
    removeNetworks: new Set(),
    removePorts: new Set(),
    putNetworks: new Map(),
    putLocalPorts: new Map(),
    putRemotePorts: new Map(),
  }
  for (const key of keys) {
    const slash = key.indexOf('/')
    const id = key.slice(slash + 1)
    switch (key.slice(0, slash)) {
      case 'network': {
        const network = wanted.networks.get(id)
        if (network === undefined) draft.removeNetworks.add(id)
        else draft.putNetworks.set(id, sliceNetwork(network))
        break
      }
      case 'port': {
        const port = wanted.ports.get(id)
        const why = port === undefined ? undefined : unplaceable(wanted, port)
        if (port === undefined || why !== undefined) draft.removePorts.add(id)
        if (port === undefined) break
        if (why !== undefined) rejected.set(key, why)
        else draftPort(draft, port, ofportOf(id))
        break
      }
    }
  }
  return draft
}

function draftPort(draft: Draft, port: WantedPort, ofport: number | undefined): void {
  const { id, networkId, subnetId, mac, address, at } = port
  const common = { portId: id, networkId, subnetId, mac, address }
  if (at.on === 'remote') draft.putRemotePorts.set(id, { ...common, vtep: at.vtep })
  else if (ofport !== undefined) draft.putLocalPorts.set(id, { ...common, ofport })
}

/** Cheap to see beforehand, and what would otherwise be refused port by port. */
function unplaceable(wanted: WantedNetworks, port: WantedPort): string | undefined {
  const network = wanted.networks.get(port.networkId)
  if (network === undefined) return 'its network is not known'
  return network.subnets.some(({ id }) => id === port.subnetId)
    ? undefined
    : 'its subnet is not known'
}

function sliceNetwork(network: WantedNetwork): SliceNetwork {
  return {
    networkId: network.id,
    vni: network.vni,
    mtuBytes: network.mtuBytes,
    subnets: network.subnets.map(({ id, cidr, gatewayAddress, gatewayMac }) => ({
      subnetId: id,
      cidr,
      gatewayAddress,
      gatewayMac,
    })),
  }
}

function changeOf(draft: Draft): SliceChange {
  return {
    removeNetworks: [...draft.removeNetworks],
    removePorts: [...draft.removePorts],
    putNetworks: [...draft.putNetworks.values()],
    putLocalPorts: [...draft.putLocalPorts.values()],
    putRemotePorts: [...draft.putRemotePorts.values()],
  }
}

/** Takes the object at fault out of the draft; false if it is not in it. */
function leaveOut(
  draft: Draft,
  wanted: WantedNetworks,
  error: SliceError,
  rejected: Map<string, string>,
): boolean {
  const slash = error.object.indexOf('/')
  const id = error.object.slice(slash + 1)
  const kind = error.object.slice(0, slash)
  if (kind === 'port') {
    const isIn = draft.putLocalPorts.delete(id) || draft.putRemotePorts.delete(id)
    // One that is not in the change is in the program, and does not fit its network any more.
    if (!isIn && draft.removePorts.has(id)) return false
    rejected.set(`port/${id}`, error.message)
    // What the program has of it is about an earlier wish.
    draft.removePorts.add(id)
    return true
  }
  const networkId = kind === 'network' ? id : networkOfSubnet(draft, id)
  if (networkId === undefined) return false
  const isIn = draft.putNetworks.delete(networkId) || draft.removeNetworks.delete(networkId)
  if (!isIn) return false
  rejected.set(`network/${networkId}`, error.message)
  // Its ports come again with it.
  for (const [portId, port] of wanted.ports) {
    if (port.networkId !== networkId) continue
    if (draft.putLocalPorts.delete(portId) || draft.putRemotePorts.delete(portId))
      rejected.set(`port/${portId}`, error.message)
  }
  return true
}

function networkOfSubnet(draft: Draft, subnetId: string): string | undefined {
  for (const [networkId, network] of draft.putNetworks)
    if (network.subnets.some((subnet) => subnet.subnetId === subnetId)) return networkId
  return undefined
}

/** Of all items that a slice is made of. */
export function* allKeys(store: WantedNetworks): Iterable<string> {
  for (const id of store.networks.keys()) yield `network/${id}`
  for (const id of store.ports.keys()) yield `port/${id}`
}
