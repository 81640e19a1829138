import { PlatformError } from '@nubo/base'
import type { Brake, Host, Reason } from '@nubo/contracts'
import type { BrakeRow, HostResources, HostRow, World, WorldReader } from '../../world/index.ts'

/** So many names are listed when a removal is refused. */
const NAMES_SHOWN_MAX = 10

/**
 * States of a host: `invited` (a token was given) → `joining` (it has a certificate) → `ready` (its agent is or was just
 * connected) ↔ `unreachable` (nothing was heard for too long) → `fenced` (proven stopped; its `elsewhere` sets are placed
 * again) → `returning` (connected, until nothing of an older placement is left on it) → `ready`. A new token or a new join
 * of a known host changes no state.
 */
export function hostView(world: WorldReader, row: HostRow): Host {
  const sets = placedSets(world, row)
  return {
    id: row.id,
    name: row.name,
    region: row.region,
    zone: row.zone,
    rack: row.rack,
    roles: row.roles,
    labels: row.labels,
    state: row.state,
    reason: reasonOf(row),
    since: row.sinceMs,
    cordoned: row.cordoned,
    maintenance: row.maintenance,
    drain: openDrain(world, row),
    fence: row.fence,
    power: row.power,
    stopsWithinMs: row.stopsWithinMs,
    inventory: row.inventory,
    capacity: row.capacity,
    reserve: row.reserve,
    allocated: allocatedOn(world, row),
    sets: sets.length,
    bootId: row.bootId,
    vtepAddress: row.vtepAddress,
    serverName: row.serverName,
    createdAtMs: row.createdAtMs,
  }
}

/** The row keeps the last one; it counts while its operation is open. */
function openDrain(world: WorldReader, { drain }: HostRow): Host['drain'] {
  const operation = world.operation.get(drain?.operationId)
  return operation === undefined || operation.endedAtMs !== null
    ? null
    : { operationId: operation.id }
}

export function brakeView(row: BrakeRow): Brake {
  const { id, name, hosts, reason, sinceMs } = row
  return { id, name, hosts: [...hosts], reason, since: sinceMs }
}

/** What the sets placed on a host may take, running or not; sets that are going away no longer count. */
export function allocatedOn(world: WorldReader, host: Pick<HostRow, 'id'>): HostResources {
  let cpuMillis = 0
  let memoryBytes = 0
  for (const set of placedSets(world, host)) {
    cpuMillis += set.cpuMillis
    memoryBytes += set.memoryBytes
  }
  return { cpuMillis, memoryBytes, diskBytes: 0 }
}

function placedSets(world: WorldReader, host: Pick<HostRow, 'id'>) {
  return world.set.by('host', host.id).filter((set) => set.wanted !== 'removed')
}

/** Every state but `ready` says why. */
function reasonOf(row: HostRow): Reason | null {
  if (row.state === 'invited') {
    const until =
      row.inviteExpiresAtMs === null
        ? ''
        : ` until ${new Date(row.inviteExpiresAtMs).toISOString()}`
    return {
      code: 'HOST_UNREACHABLE',
      text: `No agent has joined yet; the token is valid${until}. A new one: nubo host invite ${row.name}`,
    }
  }
  if (row.state === 'joining') {
    return {
      code: 'HOST_UNREACHABLE',
      text: 'The agent has joined but has not connected yet; is it running?',
    }
  }
  return row.reason
}

/** IN_USE if sets (even ones that are going away) or interface-bound ports are still on the host. */
export function requireUnused(world: World, host: HostRow): void {
  const sets = world.set.by('host', host.id)
  const ports = world.port.by('host', host.id)
  if (sets.length + ports.length > 0) throw inUse(host, { sets, ports })
}

export function inUse(
  host: HostRow,
  users: { sets: readonly { name: string }[]; ports: readonly { name: string }[] },
  cause?: unknown,
): PlatformError {
  const names = (rows: readonly { name: string }[]): string[] =>
    rows.slice(0, NAMES_SHOWN_MAX).map((row) => row.name)
  return new PlatformError(
    'IN_USE',
    {
      host: host.name,
      sets: names(users.sets),
      ports: names(users.ports),
      next:
        host.state === 'fenced'
          ? 'these sets run nowhere else (recovery local): remove them with `nubo set rm`, or let the host return'
          : 'remove its sets and unbind its ports first; keep new ones away with `nubo host cordon`',
    },
    {
      message:
        users.sets.length + users.ports.length > 0
          ? `Host ${host.name} still has ${users.sets.length} sets and ${users.ports.length} bound ports.`
          : `Sets that were on host ${host.name} have not been heard of from their new hosts yet.`,
      cause,
    },
  )
}
