import { quotaMismatches, readTables, worldKinds } from '@nubo/control-plane'
import type { Applies } from './applies.ts'
import type { SetShape } from './action.ts'
import { roomFor } from './drains.ts'
import { shapeBody } from './manifest-body.ts'
import type { Model } from './model.ts'
import type { Observer } from './observer.ts'
import type { Quota } from './plan.ts'
import type { SimulatedRegion } from './simulated-region.ts'
import { claim, Violation } from './violation.ts'

/** An operation ends so long after its deadline at the latest, while somebody could end it. Covers apart clocks, and the period of the leader. */
const LATE_MAX_MS = 15_000
/** Of a calm region: whoever had to come back has, and leads. */
const CALM_MS = 30_000
const MEBIBYTE = 2 ** 20
/** Memory is never promised twice. */
const MEMORY_OVERCOMMIT = 1

/** LEASE_MS, what the guard of a host promises (STOPS_WITHIN_MS), and what the simulated one looks later. */
const RUNS_WITHOUT_WORD_MAX_MS = 30_000 + 8_000 + 1_500

export interface Watched {
  readonly region: SimulatedRegion
  readonly observer: Observer
  readonly model: Model
  readonly applies: Applies
  /** The quota of the project. */
  readonly quota: Quota
}

/** Holds at every moment, whatever is broken. */
export function checkAlways({ region, observer, model, applies, quota }: Watched): void {
  observer.check()
  applies.check(model)
  checkLeases(region, observer)
  for (const server of region.servers) {
    if (!server.isUp || server.process.isPaused) continue
    const { world } = server.region
    checkQuota(world, quota)
    const addresses = new Set<string>()
    for (const port of world.port.values()) {
      const key = `${port.subnetId}/${port.address}`
      claim(!addresses.has(key), 'address-twice', () => `${server.name}: two ports ${port.address}`)
      addresses.add(key)
    }
    checkOperations(region, server)
    for (const host of world.host.values()) {
      const taken = world.set.by('host', host.id).reduce((sum, set) => sum + set.memoryBytes, 0)
      const room =
        ((host.capacity?.memoryBytes ?? 0) - (host.reserve?.memoryBytes ?? 0)) * MEMORY_OVERCOMMIT
      claim(taken <= room, 'room', () => `${host.name} has ${taken} of ${room} bytes given away`)
    }
  }
}

function checkQuota(world: World, { instances, memoryMib, addresses }: Quota): void {
  const hold = (what: string, used: number, most: number | null): void =>
    claim(used <= (most ?? Infinity), 'quota', () => `${used} ${what} of ${most}`)
  hold('sets', world.set.size, instances)
  hold('addresses', world.port.size, addresses)
  if (memoryMib === null) return
  const bytes = [...world.set.values()].reduce((sum, set) => sum + set.memoryBytes, 0)
  hold('MiB', bytes / MEBIBYTE, memoryMib)
}

/** Who has heard from no server for so long runs nothing that could have been placed elsewhere, dead agent or not. */
function checkLeases(region: SimulatedRegion, observer: Observer): void {
  const nowMs = region.clock.monotonicMs()
  for (const machine of region.hosts) {
    const silentMs = nowMs - region.network.leaseGrantedAtMs(machine.name)
    if (silentMs < RUNS_WITHOUT_WORD_MAX_MS) continue
    for (const { setId, name } of machine.running())
      claim(
        observer.recoveryOf(setId) !== 'elsewhere',
        'runs-without-lease',
        () => `${name} runs on ${machine.name}, which was granted nothing for ${silentMs} ms`,
      )
  }
}

function checkOperations(
  region: SimulatedRegion,
  server: SimulatedRegion['servers'][number],
): void {
  const nowMs = region.clock.monotonicMs()
  const calmMs = nowMs - region.disturbedUntilMs
  if (calmMs < CALM_MS) return
  for (const operation of server.region.world.operation.by('open', 'yes')) {
    // Its deadline was set by the wall clock of one server and is looked at by another's; these may be far apart.
    const lateMs = Math.min(
      ...region.servers.map((one) => one.process.clock.nowMs() - operation.deadlineAtMs),
    )
    claim(
      lateMs < LATE_MAX_MS,
      'operation-late',
      () => `${operation.kind} of ${operation.resourceName} waits ${lateMs} ms past its deadline`,
    )
  }
}

/** Each world is the tables as they were at its revision; compared where they are at the same one. */
export async function checkWorlds({ region }: Watched, mustBeEqual: boolean): Promise<void> {
  const { revision, rows } = await region.during(readTables(region.observer()))
  for (const server of region.servers) {
    if (!server.isUp) continue
    const { world } = server.region
    if (world.revision !== revision) {
      claim(!mustBeEqual, 'world-behind', () => `${server.name}: ${world.revision} of ${revision}`)
      continue
    }
    for (const kind of worldKinds) {
      const wanted = rows.filter((row) => row.kind === kind).map((row) => canonical(row.body))
      const found = [...world[kind].values()].map((row) => canonical(row))
      wanted.sort()
      found.sort()
      const at = wanted.findIndex((row, index) => row !== found[index])
      claim(
        at < 0 && wanted.length === found.length,
        'world-differs',
        () =>
          `${server.name}: ${kind}: ${found.length} rows for ${wanted.length}; ${found[Math.max(0, at)]} for ${wanted[Math.max(0, at)]}`,
      )
    }
  }
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** What is not yet as it should be some time after faults have stopped; empty: everything is. */
export async function unrest(watched: Watched): Promise<Violation | undefined> {
  try {
    await checkAtRest(watched)
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error
    throw error
  }
}

async function checkAtRest(watched: Watched): Promise<void> {
  const { region } = watched
  checkAlways(watched)
  for (const server of region.servers) claim(server.isUp, 'server-down', () => server.name)
  await checkWorlds(watched, true)
  const [mismatch] = await region.during(quotaMismatches(region.observer()))
  claim(mismatch === undefined, 'quota-miscounted', () => JSON.stringify(mismatch))
  const [server] = region.servers
  if (server === undefined) return
  const { world } = server.region
  for (const operation of world.operation.by('open', 'yes'))
    throw new Violation(
      'operation-open',
      `${operation.kind} ${operation.resourceName}: ${operation.progress}`,
    )
  for (const { name } of world.brake.values()) throw new Violation('brake-holds', name)
  await checkSets(watched, world)
  checkHosts(watched, world)
  checkPromises(watched, world)
}

type World = SimulatedRegion['servers'][number]['region']['world']
type SetRow = NonNullable<ReturnType<World['set']['get']>>

async function checkSets({ region }: Watched, world: World): Promise<void> {
  const { items } = await region.call('setList', { query: { limit: 1_000 } })
  for (const set of items) {
    const row = world.set.get(set.id)
    const wanted = row?.wanted === 'stopped' ? 'stopped' : 'running'
    if (set.state === wanted) continue
    // It may wait, if it says why and that is true.
    const isPlaced = row !== undefined && row.hostId !== null
    if (!isPlaced && (wanted === 'stopped' || row === undefined || !roomFor(world, row))) {
      claim(set.reason !== null, 'no-reason', () => `set ${set.name} is ${set.state}`)
      continue
    }
    throw new Violation(
      'not-as-wanted',
      `set ${set.name} is ${set.state}, not ${wanted}: ${set.reason?.text ?? ''}`,
    )
  }
}

function checkHosts({ region }: Watched, world: World): void {
  for (const machine of region.hosts) {
    const host = world.host.get(machine.hostId as never)
    // One that was switched off in its first moment back is not missed yet.
    claim(
      host?.state === 'ready' && machine.isPowered,
      'host-not-ready',
      () => `${machine.name} is ${machine.isPowered ? '' : 'off and '}${host?.state}`,
    )
    const placed = world.set.by('host', machine.hostId as never)
    for (const set of placed) {
      const held = machine.simulated.setHost.sets.get(set.id)
      if (set.wanted !== 'running') continue
      claim(held !== undefined, 'not-there', () => `${set.name} on ${machine.name}`)
      const runs = held && textOf(held.spec)
      claim(
        runs === textOf(set),
        'runs-otherwise',
        () => `${set.name} on ${machine.name} is ${runs}, not ${textOf(set)}`,
      )
    }
    const ids = new Set<string>(placed.map(({ id }) => id))
    for (const [id, set] of machine.simulated.setHost.sets)
      claim(ids.has(id), 'left-over', () => `${set.spec.name} on ${machine.name}`)
  }
}

/** What an engine is given and a row says, in one form. */
function textOf(one: {
  memoryBytes: number
  containers: readonly { name: string; digest?: string; image?: { digest: string } }[]
}): string {
  const containers = one.containers.map(
    ({ name, digest, image }) => `${name} ${digest ?? image?.digest}`,
  )
  return JSON.stringify([one.memoryBytes, containers.toSorted()])
}

function isShaped(set: SetRow, shape: SetShape, world: World): boolean {
  const { recovery, priority, memoryBytes, containers, placement } = shapeBody(set.name, shape)
  return (
    set.recovery === recovery &&
    set.priority === priority &&
    set.memoryBytes === memoryBytes &&
    set.containers.length === containers.length &&
    set.containers.every(({ imageName }) => imageName === shape.image) &&
    (world.host.get(set.placementRule.hostId)?.name ?? undefined) === placement?.host
  )
}

/** Acknowledged writes survive. */
function checkPromises({ model, applies }: Watched, world: World): void {
  applies.checkAtRest(model, world)
  for (const [id, promised] of model.sets) {
    const set = world.set.get(id as never)
    switch (promised.removal) {
      case 'none':
        claim(
          set !== undefined,
          'lost-write',
          () => `set ${promised.name} was acknowledged and is not there`,
        )
        break
      case 'acknowledged':
        claim(
          set === undefined,
          'lost-write',
          () => `the removal of ${promised.name} was acknowledged, and it is there`,
        )
        break
      case 'asked':
        break
    }
    const { shape } = promised
    if (set !== undefined && set.wanted !== 'removed' && shape !== undefined)
      claim(
        isShaped(set, shape, world),
        'lost-write',
        () => `${promised.name} is not as it was acknowledged to be: ${JSON.stringify(shape)}`,
      )
    if (set !== undefined && set.wanted !== 'removed' && promised.wanted !== undefined)
      claim(
        set.wanted === promised.wanted,
        'lost-write',
        () => `${promised.name} is to be ${set.wanted}, but ${promised.wanted} was acknowledged`,
      )
  }
}
