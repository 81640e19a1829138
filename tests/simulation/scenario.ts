import { inflict, healAll } from './faults.ts'
import { checkAlways, checkWorlds, unrest, type Watched } from './invariants.ts'
import { Model } from './model.ts'
import { Observer } from './observer.ts'
import { describe, hostName, rackOf, SERVERS, type Action, type Plan } from './plan.ts'
import { SimulatedRegion, type Answer, type HostShape } from './simulated-region.ts'
import type { SimulatedServer } from './simulated-server.ts'
import { violationOf, type Violation } from './violation.ts'

/** Within this time after faults have stopped everything is as wanted: the slowest rule is a deadline of 120 s. */
const REST_LIMIT_MS = 240_000
const REST_LOOK_MS = 5_000
/** Then it stays so. */
const STAYS_MS = 15_000
const STAYS_LOOKS = 4
const STAYS_LOOK_MS = 250
/** Worlds are compared with the tables after each so many steps. */
const COMPARE_STEPS = 12
const MEBIBYTE = 2 ** 20

export interface Outcome {
  /** Undefined: everything held. */
  readonly violation: Violation | undefined
  readonly history: readonly string[]
  /** How often hosts were fenced, containers started in a later epoch, and brakes changed. */
  readonly seen: Observer['seen']
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
  let seen: Observer['seen'] = { fencings: 0, moves: 0, brakes: 0 }
  try {
    await prepare(region, plan)
    const model = new Model(() => region.clock.monotonicMs())
    const observer = new Observer(region)
    seen = observer.seen
    const watched: Watched = { region, observer, model, instancesMax: plan.instancesMax }
    await act(watched, plan, history)
    note(region, history, 'faults stop')
    await healAll(region)
    await untilRest(watched)
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
  if (plan.instancesMax !== null)
    await region.call('quotaSet', {
      query: { project: 'default' },
      body: { instances: plan.instancesMax },
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
  switch (action.do) {
    case 'create':
    case 'remove':
    case 'stop':
    case 'start':
    case 'restart':
      return change(watched, action)
    default:
      return inflict(watched.region, watched.observer, action)
  }
}

type Change = Extract<Action, { do: 'create' | 'remove' | 'stop' | 'start' | 'restart' }>

/** Callers do not wait for each other. */
function change(watched: Watched, action: Change): void {
  const { region, observer } = watched
  const first = region.servers[action.server % SERVERS]
  const second = region.servers[(action.server + 1) % SERVERS]
  if (first === undefined || second === undefined) return
  const ask = (server: SimulatedServer): Promise<Answer<unknown>> =>
    askOnce(watched, action, server)
  const asked =
    action.manner === 'twice'
      ? Promise.all([ask(first), ask(second)])
      : ask(first).then((answer) =>
          action.manner === 'retries' && answer.at === 'unknown' ? ask(second) : answer,
        )
  asked.catch((error: unknown) => observer.reportDefect(error))
}

async function askOnce(
  { region, model }: Watched,
  action: Change,
  server: SimulatedServer,
): Promise<Answer<unknown>> {
  const { name } = action
  if (action.do === 'create') {
    const begun = model.creating(name)
    const answer = await region.request('setCreate', { body: setBody(action) }, server)
    model.created(begun, answer)
    return answer
  }
  const verb = action.do
  const underWay = model.changing(verb, name)
  const answer = await region.request(routeOf[verb], { params: { id: name } }, server)
  model.changed({ verb, name, underWay }, answer)
  return answer
}

const routeOf = {
  remove: 'setRemove',
  stop: 'setStop',
  start: 'setStart',
  restart: 'setRestart',
} as const

function setBody(action: Extract<Action, { do: 'create' }>): object {
  return {
    name: action.name,
    network: 'net',
    subnet: action.subnet,
    recovery: action.recovery,
    containers: Array.from({ length: action.containers }, (_none, index) => ({
      name: `c${index}`,
      index,
      image: 'web',
    })),
    cpuMillis: 200,
    memoryBytes: action.memoryMib * MEBIBYTE,
  }
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
