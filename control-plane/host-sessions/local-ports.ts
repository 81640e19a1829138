import type { HostId, NetworkId, PortId } from '@nubo/base'
import { wantedKey } from '@nubo/contracts/host'
import {
  instanceOf,
  kindOf,
  type Change,
  type ChangeSet,
  type HostRow,
  type InstanceKind,
  type InstanceRow,
  type NetworkRow,
  type PortRow,
  type SubnetRow,
  type World,
} from '../world/index.ts'
import { hostOfPort, type Locality } from './slice.ts'

interface Located {
  readonly networkId: NetworkId
  readonly hostId: HostId
}

/** Which items of which hosts a change may have touched. */
export type Affected = Map<HostId, Set<string>>

/**
 * Where the ports of the region are, kept up with the world, so that a change finds the hosts that it matters to
 * without a search. What it names is a superset of what changed; whoever sends compares with what was sent.
 */
export class LocalPorts implements Locality {
  readonly #world: World
  readonly #located = new Map<PortId, Located>()
  /** How many ports of a network are on a host. */
  readonly #counts = new Map<NetworkId, Map<HostId, number>>()
  readonly #portsOfHost = new Map<HostId, Set<PortId>>()
  #matters: (hostId: HostId) => boolean = () => true

  /** Reads the world as it is; from then on `apply` must get every change set. */
  constructor(world: World) {
    this.#world = world
    for (const port of world.port.values()) this.#relocate(port.id)
  }

  isLocal(hostId: HostId, networkId: NetworkId): boolean {
    return this.#counts.get(networkId)?.has(hostId) === true
  }

  /**
   * Call it once for each change set, right after the world took it. Names only hosts that matter: a port concerns every
   * host of its network, thousands perhaps, of which this server may have none.
   */
  apply(changes: ChangeSet, matters: (hostId: HostId) => boolean = () => true): Affected {
    this.#matters = matters
    const touched = this.#collect(changes)
    const affected: Affected = touched.affected
    const before = new Map<NetworkId, ReadonlySet<HostId>>()
    for (const portId of touched.ports) {
      const networkId = this.#located.get(portId)?.networkId
      if (networkId !== undefined) this.#remember(before, networkId)
      const next = this.#world.port.get(portId)?.networkId
      if (next !== undefined) this.#remember(before, next)
      this.#markPort(affected, portId)
    }
    for (const portId of touched.ports) this.#relocate(portId)
    for (const portId of touched.ports) this.#markPort(affected, portId)
    for (const [networkId, hosts] of before) this.#markEntered(affected, networkId, hosts)
    for (const networkId of touched.networks) {
      for (const hostId of this.#hostsOf(networkId))
        this.#mark(affected, hostId, wantedKey({ kind: 'network', id: networkId }))
    }
    return affected
  }

  #collect({ changes }: ChangeSet): {
    affected: Affected
    ports: Set<PortId>
    networks: Set<NetworkId>
  } {
    const affected: Affected = new Map()
    const ports = new Set<PortId>()
    const networks = new Set<NetworkId>()
    for (const change of changes) {
      for (const row of rowsOf(change)) {
        switch (row.kind) {
          case 'set':
          case 'vm':
            this.#mark(affected, row.hostId, wantedKey(row))
            for (const port of this.#world.port.by('instance', row.id)) ports.add(port.id)
            break
          case 'port': {
            ports.add(row.id)
            const owner = instanceOf(this.#world, row.instanceId)
            if (owner !== undefined)
              this.#mark(affected, owner.hostId, wantedKey({ kind: kindOf(owner), id: owner.id }))
            break
          }
          case 'host':
            for (const portId of this.#portsOfHost.get(row.id) ?? []) ports.add(portId)
            break
          case 'network':
            networks.add(row.id)
        }
      }
    }
    return { affected, ports, networks }
  }

  /** The port's item on every host of its network. */
  #markPort(affected: Affected, portId: PortId): void {
    const located = this.#located.get(portId)
    if (located === undefined) return
    const key = wantedKey({ kind: 'port', id: portId })
    for (const hostId of this.#hostsOf(located.networkId)) this.#mark(affected, hostId, key)
  }

  /** Hosts that got their first port of a network, or lost their last, gain or lose all of it. */
  #markEntered(affected: Affected, networkId: NetworkId, before: ReadonlySet<HostId>): void {
    const after = this.#counts.get(networkId)
    const entered = [...(after?.keys() ?? [])].filter((hostId) => !before.has(hostId))
    const left = [...before].filter((hostId) => after?.has(hostId) !== true)
    const hosts = [...entered, ...left].filter((hostId) => this.#matters(hostId))
    if (hosts.length === 0) return
    const keys = this.#world.port.by('network', networkId).map((port) => portKey(port))
    for (const hostId of hosts) {
      this.#mark(affected, hostId, wantedKey({ kind: 'network', id: networkId }))
      for (const key of keys) this.#mark(affected, hostId, key)
    }
  }

  #remember(before: Map<NetworkId, ReadonlySet<HostId>>, networkId: NetworkId): void {
    if (!before.has(networkId)) before.set(networkId, new Set(this.#hostsOf(networkId)))
  }

  #mark(affected: Affected, hostId: HostId | null, key: string): void {
    if (hostId === null || !this.#matters(hostId)) return
    const keys = affected.get(hostId)
    if (keys === undefined) affected.set(hostId, new Set([key]))
    else keys.add(key)
  }

  #hostsOf(networkId: NetworkId): Iterable<HostId> {
    return this.#counts.get(networkId)?.keys() ?? []
  }

  #relocate(portId: PortId): void {
    const port = this.#world.port.get(portId)
    const hostId = port === undefined ? undefined : hostOfPort(this.#world, port)
    const old = this.#located.get(portId)
    if (old?.hostId === hostId && old?.networkId === port?.networkId) return
    if (old !== undefined) {
      this.#located.delete(portId)
      this.#count(old, -1)
      deleteFrom(this.#portsOfHost, old.hostId, portId)
    }
    if (port === undefined || hostId === undefined) return
    const located = { networkId: port.networkId, hostId }
    this.#located.set(portId, located)
    this.#count(located, 1)
    this.#portsOfHost.set(hostId, (this.#portsOfHost.get(hostId) ?? new Set()).add(portId))
  }

  #count({ networkId, hostId }: Located, by: 1 | -1): void {
    const counts = this.#counts.get(networkId) ?? new Map<HostId, number>()
    const count = (counts.get(hostId) ?? 0) + by
    if (count === 0) counts.delete(hostId)
    else counts.set(hostId, count)
    if (counts.size === 0) this.#counts.delete(networkId)
    else this.#counts.set(networkId, counts)
  }
}

type TouchedRow =
  | { kind: InstanceKind; id: InstanceRow['id']; hostId: HostId | null }
  | { kind: 'port'; id: PortId; instanceId: InstanceRow['id'] | null }
  | { kind: 'host'; id: HostId }
  | { kind: 'network'; id: NetworkId }

/** The row before and the row after, as far as slices depend on it. */
function rowsOf({ kind, before, after }: Change): TouchedRow[] {
  switch (kind) {
    // proof of the casts: the world holds rows of a kind's own table, and a change names the kind of both its rows
    case 'set':
    case 'vm':
      return present(
        before as InstanceRow | undefined,
        after as InstanceRow | undefined,
        ({ id, hostId }) => ({ kind, id, hostId }),
      )
    case 'port':
      return present(
        before as PortRow | undefined,
        after as PortRow | undefined,
        // A row of a server that does not know VMs is without that column.
        ({ id, setId, vmId }) => ({ kind, id, instanceId: setId ?? vmId }),
      )
    case 'network':
      return present(
        before as NetworkRow | undefined,
        after as NetworkRow | undefined,
        ({ id }) => ({ kind, id }),
      )
    case 'subnet':
      return present(
        before as SubnetRow | undefined,
        after as SubnetRow | undefined,
        ({ networkId }) => ({
          kind: 'network',
          id: networkId,
        }),
      )
    case 'host': {
      const [old, fresh] = [before as HostRow | undefined, after as HostRow | undefined]
      // Host rows change with every reconnection; only the tunnel end is in others' slices.
      if (old?.vtepAddress === fresh?.vtepAddress) return []
      return present(old, fresh, ({ id }) => ({ kind, id }))
    }
    default:
      return []
  }
}

function present<Row>(
  before: Row | undefined,
  after: Row | undefined,
  pick: (row: Row) => TouchedRow,
): TouchedRow[] {
  return [before, after].filter((row) => row !== undefined).map(pick)
}

function portKey(port: PortRow): string {
  return wantedKey({ kind: 'port', id: port.id })
}

function deleteFrom(map: Map<HostId, Set<PortId>>, hostId: HostId, portId: PortId): void {
  const ports = map.get(hostId)
  ports?.delete(portId)
  if (ports?.size === 0) map.delete(hostId)
}
