import type { Action } from './action.ts'
import { Applies } from './applies.ts'
import { ask, isChange } from './callers.ts'
import { describe } from './describe.ts'
import { checkCalmDrain } from './drains.ts'
import { inflict, healAll } from './faults.ts'
import { checkAlways, checkWorlds, unrest, type Watched } from './invariants.ts'
import { Model } from './model.ts'
import { nothingSeen, Observer, type Seen } from './observer.ts'
import { hostName, rackOf, type Plan } from './plan.ts'
import { SimulatedRegion, type HostShape } from './simulated-region.ts'
import { violationOf, type Violation } from './violation.ts'

/** Within this time after faults have stopped everything is as wanted: the slowest rule is a deadline of 120 s. */
const REST_LIMIT_MS = 240_000
const REST_LOOK_MS = 5_000
/** Then it stays so. */
const STAYS_MS = 15_000
const STAYS_LOOKS = 4
const STAYS_LOOK_MS = 250
const DRAIN_LOOK_MS = 200
/** Worlds are compared with the tables after each so many steps. */
const COMPARE_STEPS = 12
const MEBIBYTE = 2 ** 20

export interface Outcome {
  /** Undefined: everything held. */
  readonly violation: Violation | undefined
  readonly history: readonly string[]
  readonly seen: Readonly<Seen>
  /** How much time passed in the simulation. */
  readonly simulatedMs: number
  /** A fingerprint of everything that happened, and how many things that were. */
  readonly digest: string
  readonly events: number
  readonly lines: readonly string[] | undefined
}

/** Runs one plan: faults and changes, then quiet, then the checks. The same plan gives the same outcome, byte for byte. */
export async function runPlan(plan: Plan, options: { keepTrace?: boolean } = {}): Promise<Outcome> {
  const history: string[] = []
  const region = await SimulatedRegion.start({ seed: plan.seed, hosts: hostsOf(plan), ...options })
  let violation: Violation | undefined
  let seen = nothingSeen
  try {
    await prepare(region, plan)
    const nowMs = (): number => region.clock.monotonicMs()
    const model = new Model(nowMs)
    const applies = new Applies(nowMs)
    const observer = new Observer(region, applies)
    seen = observer.seen
    const { quota } = plan
    const watched: Watched = { region, observer, model, applies, quota }
    await act(watched, plan, history)
    note(region, history, 'faults stop')
    await healAll(region)
    await untilRest(watched)
    await drainAtRest(watched, plan, history)
  } catch (error) {
    violation = violationOf(error)
    note(region, history, violation.message)
  } finally {
    await region.stop()
  }
  return {
    violation,
    history,
    seen,
    simulatedMs: region.clock.monotonicMs(),
    events: region.trace.count,
    digest: region.trace.digest(),
    lines: region.trace.lines,
  }
}

function hostsOf(plan: Plan): HostShape[] {
  return Array.from({ length: plan.hosts }, (_none, index) => ({
    name: hostName(index),
    rack: `rack-${1 + rackOf(index)}`,
    cpuMillis: 16_000,
    memoryBytes: plan.hostMemoryMib * MEBIBYTE,
  }))
}

async function prepare(region: SimulatedRegion, plan: Plan): Promise<void> {
  await region.call('networkCreate', { body: { name: 'net', cidr: '10.1.0.0/16' } })
  await region.call('subnetCreate', {
    body: { network: 'net', name: 'small', cidr: '10.1.1.0/28' },
  })
  await region.call('subnetCreate', {
    body: { network: 'net', name: 'large', cidr: '10.1.2.0/24' },
  })
  await region.clock.advance(3_000)
  const { instances, memoryMib, addresses } = plan.quota
  const memoryBytes = memoryMib === null ? null : memoryMib * MEBIBYTE
  await region.call('quotaSet', {
    query: { project: 'default' },
    body: { instances, memoryBytes, addresses },
  })
  if (!plan.hasPowerControl) return
  for (const { name } of region.hosts) {
    const body = { redfish: 'http://127.0.0.1:1/redfish/v1/Systems/1', user: 'nubo', password: 'x' }
    await region.call('hostPowerSet', { params: { id: name }, body })
  }
}

function note(region: SimulatedRegion, history: string[], text: string): void {
  history.push(`${(region.clock.monotonicMs() / 1_000).toFixed(3).padStart(9)} ${text}`)
}

async function act(watched: Watched, plan: Plan, history: string[]): Promise<void> {
  const { region } = watched
  const beganAtMs = region.clock.monotonicMs()
  for (const [index, { atMs, action }] of plan.steps.entries()) {
    await region.clock.advance(Math.max(0, beganAtMs + atMs - region.clock.monotonicMs()))
    checkAlways(watched)
    note(region, history, describe(action))
    perform(watched, action)
    if (index % COMPARE_STEPS === COMPARE_STEPS - 1) await checkWorlds(watched, false)
  }
}

function perform(watched: Watched, action: Action): void {
  if (isChange(action)) ask(watched, action)
  else inflict(watched.region, watched.observer, action)
}

/** Everything comes to rest in time, and stays at rest. */
async function untilRest(watched: Watched): Promise<void> {
  const { clock } = watched.region
  const limitMs = clock.monotonicMs() + REST_LIMIT_MS
  for (;;) {
    await clock.advance(REST_LOOK_MS)
    // What must never be is no unrest that passes.
    watched.observer.check()
    const trouble = await unrest(watched)
    if (trouble === undefined) break
    if (clock.monotonicMs() >= limitMs) throw trouble
  }
  await clock.advance(STAYS_MS)
  // A commit of this very moment has not come to every server yet.
  for (let looks = 1; ; looks++) {
    const trouble = await unrest(watched)
    if (trouble === undefined) return
    if (looks === STAYS_LOOKS) throw trouble
    await clock.advance(STAYS_LOOK_MS)
  }
}

/** A host is emptied where nothing is broken: now it is known what could move. */
async function drainAtRest(watched: Watched, plan: Plan, history: string[]): Promise<void> {
  const { region } = watched
  const host = region.hosts[plan.lastDrain ?? -1]
  const [server] = region.servers
  if (host === undefined || server === undefined) return
  note(region, history, `everything holds; ${host.name} is drained`)
  const { id } = await region.call('hostDrain', { params: { id: host.name } })
  const { world } = server.region
  const limitMs = region.clock.monotonicMs() + REST_LIMIT_MS
  const isOpen = (): boolean => world.operation.get(id)?.endedAtMs === null
  while (isOpen() && region.clock.monotonicMs() < limitMs) {
    await region.clock.advance(DRAIN_LOOK_MS)
    watched.observer.check()
  }
  const operation = world.operation.get(id)
  if (operation === undefined) throw new Error('an operation was forgotten')
  checkCalmDrain(world, operation)
  await untilRest(watched)
}
