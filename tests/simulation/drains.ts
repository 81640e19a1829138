import type { World } from '@nubo/control-plane'
import { claim } from './violation.ts'

type OperationRow = NonNullable<ReturnType<World['operation']['get']>>
type HostRow = NonNullable<ReturnType<World['host']['get']>>
type SetRow = NonNullable<ReturnType<World['set']['get']>>

/** Sets of a host that is being emptied which somebody asked for there may stay in a maintenance. */
export function mayStay(set: SetRow, host: HostRow): boolean {
  return host.maintenance && set.recovery === 'local' && set.placementRule.hostId === host.id
}

/** What a set is placed on takes new ones at that moment. `world` is at the revision of the placement. */
export function checkPlacement(world: World, set: SetRow): void {
  const host = world.host.get(set.hostId)
  claim(
    host !== undefined && host.state === 'ready' && !host.cordoned && !host.maintenance,
    'placed-where-none-may',
    () =>
      `${set.name} was placed on ${host?.name}, which is ${host?.state}${host?.cordoned === true ? ', cordoned' : ''}${host?.maintenance === true ? ', in maintenance' : ''}`,
  )
  claim(
    set.placementRule.hostId === null || set.placementRule.hostId === set.hostId,
    'placed-where-not-asked',
    () => `${set.name} was placed on ${host?.name}`,
  )
}

/** A drain that has ended has emptied its host, or says of each set that is left why. `world` is at the revision of the end. */
export function checkDrainEnd(world: World, operation: OperationRow): void {
  const { state, reason, progress, resourceId } = operation
  const host = world.host.get(resourceId)
  if (host === undefined) return
  // Of a host that could not be talked to a maintenance moves nothing, and says so.
  if (state === 'done' && progress.startsWith('in maintenance; it is ')) return
  if (state !== 'done' && state !== 'failed') return
  // Since it was uncordoned others may have come.
  if (!host.cordoned) return
  const left = world.set
    .by('host', host.id)
    .filter((set) => set.wanted !== 'removed' && !mayStay(set, host))
  const told = reason?.text ?? ''
  if (reason?.code === 'DEADLINE_EXCEEDED' || / and \d+ more/.test(told)) return
  for (const set of left)
    claim(
      state === 'failed' && told.includes(`${set.name} `),
      'drained-but-there',
      () => `the drain of ${host.name} is ${state} (${told}), and ${set.name} is on it`,
    )
}

/** Whether a host could take a set as things are. */
export function roomFor(world: World, set: SetRow, not?: HostRow): HostRow | undefined {
  return [...world.host.values()].find((host) => {
    if (host.id === not?.id || host.state !== 'ready' || host.cordoned || host.maintenance)
      return false
    const { hostId } = set.placementRule
    if (hostId !== null && hostId !== host.id) return false
    const taken = world.set.by('host', host.id).reduce((sum, one) => sum + one.memoryBytes, 0)
    return (
      (host.capacity?.memoryBytes ?? 0) - (host.reserve?.memoryBytes ?? 0) - taken >=
      set.memoryBytes
    )
  })
}

/** In a region at rest a host was drained: what is left on it could truly not move. */
export function checkCalmDrain(world: World, operation: OperationRow): void {
  checkDrainEnd(world, operation)
  const host = world.host.get(operation.resourceId)
  claim(
    operation.state === 'done' || operation.state === 'failed',
    'drain-not-ended',
    () => `the drain of ${host?.name} is ${operation.state}: ${operation.progress}`,
  )
  if (host === undefined) return
  for (const set of world.set.by('host', host.id)) {
    const { hostId } = set.placementRule
    const better = hostId === null ? roomFor(world, set, host) : undefined
    claim(
      better === undefined,
      'not-moved',
      () =>
        `${set.name} is left on ${host.name} (${operation.reason?.text}), but ${better?.name} has room`,
    )
  }
}
