import type { Reason, SetState, SetView } from '@nubo/contracts'
import type { FoundContainer } from '@nubo/contracts/host'
import { encode, type Encoded } from '@nubo/runtime'
import {
  isLeaving,
  type HostRow,
  type NetworkRow,
  type PortRow,
  type SetFoundRow,
  type SetRow,
  type SubnetRow,
  type WorldReader,
} from '../../world/index.ts'

export interface SetStanding {
  readonly state: SetState
  readonly reason: Reason | null
  readonly sinceMs: number
}

/** Whether the host's word is about this placement of the set. */
export function isFoundCurrent(set: SetRow, found: SetFoundRow | undefined): found is SetFoundRow {
  return found !== undefined && found.epoch === set.epoch && found.hostId === set.hostId
}

/** The state of a set from what is wanted, where it is, and what its host said last. Pure. */
export function standingOf(
  set: SetRow,
  around: { host: HostRow | undefined; found: SetFoundRow | undefined },
): SetStanding {
  const { host } = around
  const found = isFoundCurrent(set, around.found) ? around.found : undefined
  const sinceMs = found?.sinceMs ?? set.placement?.decidedAtMs ?? set.createdAtMs
  if (set.hostId === null || host === undefined) {
    return {
      state: set.wanted === 'removed' ? 'removing' : 'pending',
      reason: set.placement?.reason ?? { code: 'NOT_PLACED', text: 'waits to be placed' },
      sinceMs: set.createdAtMs,
    }
  }
  // A host that returns is connected: what it says of its own sets counts.
  if (host.state !== 'ready' && host.state !== 'returning') {
    const held =
      host.state === 'fenced' && set.recovery === 'elsewhere'
        ? '; it returns with its host, which has not heard that it may run elsewhere'
        : ''
    const text = `host ${host.name} is ${host.state}${host.reason === null ? '' : `: ${host.reason.text}`}${held}`
    return {
      state: set.wanted === 'removed' ? 'removing' : 'unknown',
      reason: { code: 'HOST_UNREACHABLE', text },
      sinceMs: host.sinceMs,
    }
  }
  if (set.wanted === 'removed') return { state: 'removing', reason: found?.reason ?? null, sinceMs }
  const { leaving } = set
  if (isLeaving(set)) {
    const text = `${leaving?.reason}; it stops here and then starts on another host`
    const reason = found?.reason ?? { code: 'HOST_DRAINED', text }
    return { state: 'stopping', reason, sinceMs: leaving?.sinceMs ?? sinceMs }
  }
  if (found === undefined || found.generation < set.generation) {
    return {
      state: set.wanted === 'stopped' ? 'stopping' : 'starting',
      reason: found?.reason ?? null,
      sinceMs,
    }
  }
  return { state: stateOfFound(found.state), reason: found.reason, sinceMs: found.sinceMs }
}

function stateOfFound(state: SetFoundRow['state']): SetState {
  switch (state) {
    case 'pending':
    case 'pulling':
    case 'starting':
    case 'absent':
      return 'starting'
    case 'running':
    case 'degraded':
    case 'stopping':
    case 'stopped':
    case 'failed':
      return state
  }
}

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
  const ports = world.port.by('set', set.id)
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
  const ports = world.port.by('set', set.id).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const portViews = ports.map((port) => ({
    id: port.id,
    name: port.name,
    address: port.address,
    mac: port.mac,
    network: world.network.get(port.networkId)?.name ?? '',
    subnet: world.subnet.get(port.subnetId)?.name ?? '',
  }))
  const standing = standingOf(set, { host, found })
  const containers = new Map(current?.containers.map((container) => [container.name, container]))
  const first = portViews[0]
  return {
    id: set.id,
    projectId: set.projectId,
    name: set.name,
    ...standing,
    host: host?.name ?? null,
    network: first?.network ?? '',
    subnet: first?.subnet ?? '',
    address: first?.address ?? '0.0.0.0',
    ports: portViews,
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
    placement:
      set.placement === null
        ? null
        : {
            score: set.placement.score,
            spread: set.placementRule.spread,
            antiAffinity: set.placementRule.antiAffinity ?? null,
            decidedAtMs: set.placement.decidedAtMs,
            rejected: [...set.placement.rejected],
            counts: [...(set.placement.counts ?? [])],
          },
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
