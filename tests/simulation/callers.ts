import { unreachable } from '@nubo/base'
import { SERVERS, type Action, type Asking, type SetShape } from './action.ts'
import type { Watched } from './invariants.ts'
import { manifestBody, namesOf, shapeBody } from './manifest-body.ts'
import { hostName } from './plan.ts'
import type { Answer } from './simulated-region.ts'
import type { SimulatedServer } from './simulated-server.ts'

const verbs = [
  'create',
  'update',
  'replace',
  'remove',
  'stop',
  'start',
  'restart',
  'apply',
  'drain',
  'maintenance',
  'end-maintenance',
  'cordon',
  'uncordon',
  'cancel',
] as const
type Verb = (typeof verbs)[number]
/** What people ask for, as against what breaks. */
export type Change = Extract<Action, { do: Verb }>
type Of<Some extends Verb> = Extract<Action, { do: Some }>

export function isChange(action: Action): action is Change {
  return verbs.some((verb) => verb === action.do)
}

/** Who replaces a set looks so often whether the old one is gone, and gives up after so long. */
const GONE_LOOK_MS = 500
const GONE_MAX_MS = 60_000

/** Asks as its caller does. Callers do not wait for each other. */
export function ask(watched: Watched, action: Change): void {
  const { observer } = watched
  const asked =
    action.do === 'replace'
      ? replace(watched, action)
      : asMannered(watched, action, (server) => askOnce(watched, action, server))
  asked.catch((error: unknown) => observer.reportDefect(error))
}

/** Once, again through the other server where no answer came, or both at the same time. */
async function asMannered(
  { region }: Watched,
  { server, manner }: Asking,
  askOne: (server: SimulatedServer) => Promise<Answer<unknown>>,
): Promise<void> {
  const first = region.servers[server % SERVERS]
  const second = region.servers[(server + 1) % SERVERS]
  if (first === undefined || second === undefined) return
  if (manner === 'twice') await Promise.all([askOne(first), askOne(second)])
  else {
    const answer = await askOne(first)
    if (manner === 'retries' && answer.at === 'unknown') await askOne(second)
  }
}

function askOnce(
  watched: Watched,
  action: Exclude<Change, { do: 'replace' }>,
  server: SimulatedServer,
): Promise<Answer<unknown>> {
  const { region } = watched
  switch (action.do) {
    case 'create':
      return create(watched, action, server)
    case 'update':
      return update(watched, action, server)
    case 'remove':
    case 'stop':
    case 'start':
    case 'restart':
      return changeWanted(watched, action, server)
    case 'apply':
      return apply(watched, action, server)
    case 'drain':
    case 'maintenance':
    case 'end-maintenance':
    case 'cordon':
    case 'uncordon':
      return region.request(
        operatorRoutes[action.do],
        { params: { id: hostName(action.host) } },
        server,
      )
    case 'cancel':
      return cancel(watched, action, server)
    default:
      return unreachable(action)
  }
}

const operatorRoutes = {
  drain: 'hostDrain',
  maintenance: 'hostMaintenanceBegin',
  'end-maintenance': 'hostMaintenanceEnd',
  cordon: 'hostCordon',
  uncordon: 'hostUncordon',
} as const

const wantedRoutes = {
  remove: 'setRemove',
  stop: 'setStop',
  start: 'setStart',
  restart: 'setRestart',
} as const

async function create(
  { region, model }: Watched,
  action: { name: string; subnet: string } & SetShape,
  server: SimulatedServer,
): Promise<Answer<unknown>> {
  const begun = model.creating(action.name)
  const body = { network: 'net', subnet: action.subnet, ...shapeBody(action.name, action) }
  const answer = await region.request('setCreate', { body }, server)
  model.created(begun, answer, action)
  return answer
}

async function changeWanted(
  { region, model }: Watched,
  { do: verb, name }: { do: 'remove' | 'stop' | 'start' | 'restart'; name: string },
  server: SimulatedServer,
): Promise<Answer<unknown>> {
  const underWay = model.changing(verb, name)
  const answer = await region.request(wantedRoutes[verb], { params: { id: name } }, server)
  model.changed(underWay, answer)
  return answer
}

/** Reads the set and asks for it with other fields where they may be changed in place. */
async function update(
  { region, model }: Watched,
  action: Of<'update'>,
  server: SimulatedServer,
): Promise<Answer<unknown>> {
  const { name } = action
  const read = await region.request('setShow', { params: { id: name } }, server)
  if (read.at !== 'answered') return read
  const { network, subnet, ports, generation } = read.value
  // A port that was described beside the set is named again, or the set would be asked for with one of its own.
  const port = ports.find((one) => one.name === `${name}-port`)?.name
  const underWay = model.changing('update', name, action)
  const body = {
    network,
    ...(port === undefined ? { subnet } : { port }),
    ...shapeBody(name, action),
  }
  const input = { params: { id: name }, body }
  const answer = await region.request(
    'setUpdate',
    action.isChecked ? { ...input, ifMatch: String(generation) } : input,
    server,
  )
  model.changed(underWay, answer)
  return answer
}

async function replace(watched: Watched, action: Of<'replace'>): Promise<void> {
  const { region } = watched
  const { name } = action
  await asMannered(watched, action, (server) =>
    changeWanted(watched, { do: 'remove', name }, server),
  )
  const limitMs = region.clock.monotonicMs() + GONE_MAX_MS
  const first = region.servers[action.server % SERVERS]
  while (action.waits && first !== undefined && region.clock.monotonicMs() < limitMs) {
    const read = await region.request('setShow', { params: { id: name } }, first)
    if (read.at === 'refused') break
    await new Promise<void>((resolve) => void region.clock.after(GONE_LOOK_MS, resolve))
  }
  await asMannered(watched, action, (server) => create(watched, action, server))
}

async function apply(
  { region, model, applies }: Watched,
  action: Of<'apply'>,
  server: SimulatedServer,
): Promise<Answer<unknown>> {
  const { manifest, prune, recreate } = action
  const body = { manifest: manifestBody(manifest), prune, recreate }
  const planned = action.isChecked
    ? await region.request('planCreate', { body }, server)
    : undefined
  if (planned !== undefined && planned.at !== 'answered') return planned
  const check = planned?.value.check
  model.applying(namesOf(manifest.name))
  const asked = applies.asking(action)
  const answer = await region.request(
    'applyCreate',
    { body: check === undefined ? body : { ...body, check } },
    server,
  )
  applies.asked(asked, answer)
  return answer
}

/** Gives up one of those operations of which the server knows that it can be. */
function cancel(
  { region }: Watched,
  { which }: Of<'cancel'>,
  server: SimulatedServer,
): Promise<Answer<unknown>> {
  const open = server.region.world.operation
    .by('open', 'yes')
    .filter(({ mayCancel }) => mayCancel)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const operation = open[which % Math.max(1, open.length)]
  if (operation === undefined) return Promise.resolve({ at: 'refused', code: 'NOT_FOUND' })
  return region.request('operationCancel', { params: { id: operation.id } }, server)
}
