import type { SetState, SetView } from '@nubo/contracts'
import type { FoundContainer } from '@nubo/contracts/host'
import { encode, type Encoded } from '@nubo/runtime'
import type {
  HostRow,
  NetworkRow,
  PortRow,
  SetFoundRow,
  SetRow,
  SubnetRow,
  WorldReader,
} from '../../world/index.ts'
import { attachmentsOf, placementView } from './instance-view.ts'
import { isFoundCurrent, standingOf } from './standing.ts'

/** What `setView` says, without making all of the view. */
export function stateOf(world: WorldReader, set: SetRow): SetState {
  const host = world.host.get(set.hostId)
  return standingOf(set, { host, found: world.setFound.get(set.id) }).state
}

/** What a view of a set was made of; as long as these are the same rows, so is the view. */
interface Source {
  readonly host: HostRow | undefined
  readonly found: SetFoundRow | undefined
  readonly ports: readonly PortRow[]
  readonly networks: readonly (NetworkRow | undefined)[]
  readonly subnets: readonly (SubnetRow | undefined)[]
  readonly encoded: Encoded<SetView>
}

const sources = new WeakMap<SetRow, Source>()

/**
 * `setView` as text, made once for as long as nothing in it changes: lists, watchers and whoever asks for one set share
 * it. A view is never wrong by this: rows do not change, they are replaced.
 */
export function encodedSet(world: WorldReader, set: SetRow): Encoded<SetView> {
  const host = world.host.get(set.hostId)
  const found = world.setFound.get(set.id)
  const ports = world.port.by('instance', set.id)
  const known = sources.get(set)
  if (known !== undefined && known.host === host && known.found === found)
    if (arePlacesSame(world, ports, known)) return known.encoded
  const encoded = encode(setView(world, set))
  sources.set(set, {
    host,
    found,
    ports,
    networks: ports.map((port) => world.network.get(port.networkId)),
    subnets: ports.map((port) => world.subnet.get(port.subnetId)),
    encoded,
  })
  return encoded
}

function arePlacesSame(world: WorldReader, ports: readonly PortRow[], known: Source): boolean {
  if (ports.length !== known.ports.length) return false
  return ports.every(
    (port, at) =>
      port === known.ports[at] &&
      world.network.get(port.networkId) === known.networks[at] &&
      world.subnet.get(port.subnetId) === known.subnets[at],
  )
}

export function setView(world: WorldReader, set: SetRow): SetView {
  const host = world.host.get(set.hostId)
  const found = world.setFound.get(set.id)
  const current = isFoundCurrent(set, found) ? found : undefined
  const standing = standingOf(set, { host, found })
  const containers = new Map(current?.containers.map((container) => [container.name, container]))
  return {
    id: set.id,
    projectId: set.projectId,
    name: set.name,
    ...standing,
    host: host?.name ?? null,
    ...attachmentsOf(world, set),
    containers: set.containers.map((spec) => ({
      name: spec.name,
      index: spec.index,
      image: spec.imageName,
      ...containerStanding(containers.get(spec.name), standing.state),
    })),
    cpuMillis: set.cpuMillis,
    memoryBytes: set.memoryBytes,
    recovery: set.recovery,
    priority: set.priority,
    labels: set.labels,
    generation: set.generation,
    foundGeneration: current?.generation ?? 0,
    epoch: set.epoch,
    placement: placementView(set),
    moved: set.moved,
    createdAtMs: set.createdAtMs,
  }
}

function containerStanding(found: FoundContainer | undefined, setState: SetState) {
  if (found === undefined) {
    return {
      state: 'waiting' as const,
      reason: null,
      restarts: 0,
      exitCode: null,
      health: 'none' as const,
      startedAtMs: null,
    }
  }
  const { state, reason, restarts, exitCode, health, startedAtMs } = found
  return {
    state: setState === 'unknown' ? ('unknown' as const) : state,
    reason,
    restarts,
    exitCode,
    health,
    startedAtMs,
  }
}
