import { PlatformError } from '@nubo/base'
import type { Brake, Host, Reason } from '@nubo/contracts'
import {
  instancesBy,
  kindOf,
  type BrakeRow,
  type HostResources,
  type HostRow,
  type InstanceKind,
  type InstanceRow,
  type World,
  type WorldReader,
} from '../../world/index.ts'

/** So many names are listed when a removal is refused. */
const NAMES_SHOWN_MAX = 10

/**
 * States of a host: `invited` (a token was given) → `joining` (it has a certificate) → `ready` (its agent is or was just
 * connected) ↔ `unreachable` (nothing was heard for too long) → `fenced` (proven stopped; its `elsewhere` sets are placed
 * again) → `returning` (connected, until nothing of an older placement is left on it) → `ready`. A new token or a new join
 * of a known host changes no state.
 */
export function hostView(world: WorldReader, row: HostRow): Host {
  const placed = placedOn(world, row)
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
    sets: placed.filter((one) => kindOf(one) === 'set').length,
    vms: placed.filter((one) => kindOf(one) === 'vm').length,
    accelerator: row.accelerator ?? null,
    vmsProblem: row.vmsProblem ?? null,
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

/** What the instances placed on a host may take, running or not; what is going away no longer counts. */
export function allocatedOn(world: WorldReader, host: Pick<HostRow, 'id'>): HostResources {
  let cpuMillis = 0
  let memoryBytes = 0
  for (const one of placedOn(world, host)) {
    cpuMillis += one.cpuMillis
    memoryBytes += one.memoryBytes
  }
  return { cpuMillis, memoryBytes, diskBytes: 0 }
}

function placedOn(world: WorldReader, host: Pick<HostRow, 'id'>) {
  return instancesBy(world, 'host', host.id).filter((one) => one.wanted !== 'removed')
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

/** IN_USE if instances (even ones that are going away) or interface-bound ports are still on the host. */
export function requireUnused(world: World, host: HostRow): void {
  const instances = instancesBy(world, 'host', host.id)
  const ports = world.port.by('host', host.id)
  if (instances.length + ports.length > 0) throw inUse(host, { instances, ports })
}

export function inUse(
  host: HostRow,
  users: { instances: readonly InstanceRow[]; ports: readonly { name: string }[] },
  cause?: unknown,
): PlatformError {
  const of = (kind: InstanceKind) => users.instances.filter((row) => kindOf(row) === kind)
  const [sets, vms] = [of('set'), of('vm')]
  const names = (rows: readonly { name: string }[]): string[] =>
    rows.slice(0, NAMES_SHOWN_MAX).map((row) => row.name)
  return new PlatformError(
    'IN_USE',
    {
      host: host.name,
      sets: names(sets),
      vms: names(vms),
      ports: names(users.ports),
      next:
        host.state === 'fenced'
          ? 'what it still has runs nowhere else (recovery local): remove it, or let the host return'
          : 'remove its sets and VMs and unbind its ports first; keep new ones away with `nubo host cordon`',
    },
    {
      message:
        users.instances.length + users.ports.length > 0
          ? `Host ${host.name} still has ${sets.length} sets, ${vms.length} VMs and ${users.ports.length} bound ports.`
          : `Sets or VMs that were on host ${host.name} have not been heard of from their new hosts yet.`,
      cause,
    },
  )
}
