import { isPlatformError, type OperationId, type PlatformError } from '@nubo/base'
import {
  manifestNetwork,
  manifestPort,
  manifestSubnet,
  setCreate,
  type Reason,
} from '@nubo/contracts'
import { z } from 'zod'
import type { OperationRow, SetRow, World } from '../../world/index.ts'
import type { ComputeService } from '../compute/index.ts'
import { projectOf, type Caller } from '../identity/index.ts'
import type { ImageService } from '../images/index.ts'
import type { NetworkService } from '../network/index.ts'
import type { StepRow } from './store.ts'

/** What came of one try of a step. */
export type StepResult =
  /** `id`: the thing that is as described now; null where it is gone. */
  | { readonly at: 'done'; readonly id: string | null }
  | { readonly at: 'running'; readonly id: string; readonly waitsFor: OperationId }
  | { readonly at: 'failed'; readonly reason: Reason }
  /** Something that passes is in the way. */
  | { readonly at: 'again'; readonly reason: Reason }

export interface StepDeps {
  readonly world: World
  readonly network: NetworkService
  readonly images: ImageService
  readonly compute: ComputeService
  /** Brings the world up to everything that is recorded. */
  readonly catchUp: () => Promise<unknown>
}

const id = z.string()
const generation = z.int().nullable()
const bodies = {
  network: z.object({ asked: manifestNetwork }),
  subnet: z.object({ asked: manifestSubnet }),
  port: z.object({ asked: manifestPort }),
  set: z.object({ asked: setCreate }),
  update: z.object({ id, generation: z.int(), asked: setCreate }),
  existing: z.object({ id, generation: generation.optional() }),
}

/**
 * Carries a step out, or finds that it has been carried out: a process may die between the deed and its record, so each
 * step looks first and may be repeated. Never throws for what a person can act on.
 */
export async function runStep(
  deps: StepDeps,
  caller: Caller,
  step: Pick<StepRow, 'action' | 'kind'>,
  body: unknown,
): Promise<StepResult> {
  try {
    return await tryStep(deps, caller, step, body)
  } catch (error) {
    // Another was faster, or this process did not know of something yet: look once more at what there is now.
    if (!isPlatformError(error)) throw error
    const isNews = ['conflict', 'precondition', 'not_found'].includes(error.kind)
    if (!isNews) return refused(deps.world, caller, error)
    await deps.catchUp()
    try {
      return await tryStep(deps, caller, step, body)
    } catch (second) {
      if (!isPlatformError(second)) throw second
      return refused(deps.world, caller, second)
    }
  }
}

function refused(world: World, caller: Caller, error: PlatformError): StepResult {
  const reason: Reason = { code: error.code, text: withoutFullStop(error.message) }
  // An address that nobody has rests after its last use; it can be had in a moment.
  const isResting =
    error.code === 'ADDRESS_TAKEN' &&
    !world.port
      .by('project', projectOf(caller))
      .some(({ address }) => address === error.details['address'])
  const isPassing = error.kind === 'unavailable' || error.kind === 'limit' || isResting
  return { at: isPassing ? 'again' : 'failed', reason }
}

function tryStep(
  deps: StepDeps,
  caller: Caller,
  { action, kind }: Pick<StepRow, 'action' | 'kind'>,
  body: unknown,
): Promise<StepResult> {
  switch (action) {
    case 'adopt':
      return Promise.resolve(adopt(deps, kind, bodies.existing.parse(body)))
    case 'remove':
      return remove(deps, caller, kind, bodies.existing.parse(body))
    case 'update':
      return updateSet(deps, caller, bodies.update.parse(body))
    case 'create':
      return create(deps, caller, kind, body)
  }
}

function adopt({ world }: StepDeps, kind: StepRow['kind'], body: { id: string }): StepResult {
  return world[kind].get(body.id) === undefined
    ? changed('it was removed since the plan')
    : { at: 'done', id: body.id }
}

async function create(
  deps: StepDeps,
  caller: Caller,
  kind: StepRow['kind'],
  body: unknown,
): Promise<StepResult> {
  const { world, network } = deps
  const project = projectOf(caller)
  switch (kind) {
    case 'network': {
      const { asked } = bodies.network.parse(body)
      const there = world.network.by('name', `${project}/${asked.name}`)[0]
      if (there === undefined) return done(await network.createNetwork(caller, asked))
      return there.cidr === asked.cidr ? done(there) : changed(`it was created with ${there.cidr}`)
    }
    case 'subnet': {
      const { asked } = bodies.subnet.parse(body)
      const of = network.findNetwork(project, asked.network)
      const there = world.subnet.by('network', of.id).find(({ name }) => name === asked.name)
      if (there === undefined) return done(await network.createSubnet(caller, asked))
      return there.cidr === asked.cidr ? done(there) : changed(`it was created with ${there.cidr}`)
    }
    case 'port': {
      const { asked } = bodies.port.parse(body)
      const there = world.port.by('name', `${project}/${asked.name}`)[0]
      if (there === undefined) return done(await network.createPort(caller, asked))
      const subnet = network.chooseSubnet(project, { network: asked.network, subnet: asked.subnet })
      const isSo =
        there.subnetId === subnet.id && (asked.address ?? there.address) === there.address
      return isSo ? done(there) : changed(`it was created with ${there.address}`)
    }
    case 'set':
      return createSet(deps, caller, bodies.set.parse(body).asked)
    case 'image':
      throw new Error('images are uploaded by whoever applies')
  }
}

async function createSet(
  deps: StepDeps,
  caller: Caller,
  asked: z.output<typeof setCreate>,
): Promise<StepResult> {
  const { world, compute } = deps
  const there = world.set.by('name', `${projectOf(caller)}/${asked.name}`)[0]
  if (there === undefined) return begun(await compute.createSet(caller, asked))
  if (there.wanted === 'removed') return leaving(there)
  const { changes } = compute.compareSet(there, asked)
  if (changes.length === 0) return asItStands(world, there)
  return changed(`somebody created it otherwise (${changes.map(({ path }) => path).join(', ')})`)
}

async function updateSet(
  deps: StepDeps,
  caller: Caller,
  body: z.output<typeof bodies.update>,
): Promise<StepResult> {
  const { world, compute } = deps
  const there = world.set.get(body.id)
  if (there === undefined || there.wanted === 'removed')
    return changed('it was removed since the plan')
  const { changes } = compute.compareSet(there, body.asked)
  if (changes.length === 0) return asItStands(world, there)
  if (there.generation !== body.generation)
    return changed(`it is at generation ${there.generation}, not ${body.generation}`)
  const ifMatch = String(body.generation)
  return begun(await compute.updateSet(caller, there.id, body.asked, { ifMatch }))
}

async function remove(
  deps: StepDeps,
  caller: Caller,
  kind: StepRow['kind'],
  body: z.output<typeof bodies.existing>,
): Promise<StepResult> {
  const { world, network, images, compute } = deps
  if (world[kind].get(body.id) === undefined) return { at: 'done', id: null }
  switch (kind) {
    case 'set': {
      const set = compute.findSet(projectOf(caller), body.id)
      if (set.wanted === 'removed') return asItStands(world, set)
      if (body.generation !== null && set.generation !== body.generation)
        return changed(`it is at generation ${set.generation}, not ${body.generation}`)
      return begun(await compute.removeSet(caller, set.id))
    }
    case 'port':
      await network.removePort(caller, body.id)
      break
    case 'subnet':
      await network.removeSubnet(caller, body.id, undefined)
      break
    case 'network':
      await network.removeNetwork(caller, body.id)
      break
    case 'image':
      await images.removeImage(caller, body.id)
  }
  return { at: 'done', id: null }
}

/** A set that is as asked: its open operation is waited for, and how the last one ended counts. */
function asItStands(world: World, set: SetRow): StepResult {
  const last = world.operation
    .by('resource', set.id)
    .toSorted((a, b) => (a.id < b.id ? 1 : -1))
    .find(({ state }) => state !== 'superseded')
  return last === undefined ? done(set) : begun(last)
}

/** What the end of the operation that a step waits for means for it. */
export function outcomeOfWait(
  operation: OperationRow,
): { readonly at: 'done' } | { readonly at: 'failed'; readonly reason: Reason } | undefined {
  switch (operation.state) {
    case 'pending':
    case 'running':
      return undefined
    case 'done':
      return { at: 'done' }
    case 'failed':
      return {
        at: 'failed',
        reason: operation.reason ?? { code: 'INTERNAL', text: 'it failed without a reason' },
      }
    case 'superseded':
    case 'cancelled':
      return {
        at: 'failed',
        reason: {
          code: 'CHANGED_MEANWHILE',
          text: `its ${operation.kind} was ${operation.state} by somebody else`,
        },
      }
  }
}

function begun(operation: OperationRow): StepResult {
  const outcome = outcomeOfWait(operation)
  if (outcome?.at === 'failed') return outcome
  // A removal leaves nothing behind that could belong to anybody.
  const thing = operation.kind === 'set.remove' ? null : operation.resourceId
  if (outcome?.at === 'done') return { at: 'done', id: thing }
  return { at: 'running', id: operation.resourceId, waitsFor: operation.id }
}

function done(row: { readonly id: string }): StepResult {
  return { at: 'done', id: row.id }
}

function changed(text: string): StepResult {
  return { at: 'failed', reason: { code: 'CHANGED_MEANWHILE', text: `${text}; plan again` } }
}

function leaving(set: SetRow): StepResult {
  return {
    at: 'again',
    reason: { code: 'NOT_ALLOWED_NOW', text: `the earlier set ${set.name} is still being removed` },
  }
}

function withoutFullStop(text: string): string {
  return text.endsWith('.') ? text.slice(0, -1) : text
}
