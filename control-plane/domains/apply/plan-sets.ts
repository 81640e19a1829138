import type { FieldChange, Manifest, SetCreate } from '@nubo/contracts'
import type { SetRow } from '../../world/index.ts'
import { checkAddress, isImageKnown } from './plan-network.ts'
import {
  mayChange,
  missing,
  ownerKey,
  subnetMeant,
  type PlanContext,
  type Thing,
} from './plan-context.ts'
import { orderByAfter } from './steps.ts'

type ManifestSet = Manifest['sets'][number]

/** Each looks at every host; a person reads no more notes, and a server has others to answer. */
const PREVIEWS_MAX = 100

/** A set that would be placed, for the note of where. */
interface Placing {
  readonly notes: string[]
  readonly row: SetRow
}

/** In the order that `after` demands. */
export function planSets(context: PlanContext): void {
  const { manifest, draft } = context
  const ordered = orderByAfter(manifest.sets)
  if ('cycle' in ordered) {
    const [name = ''] = ordered.cycle
    draft.problem(
      { kind: 'set', name },
      {
        code: 'INVALID_INPUT',
        field: 'after',
        text: `sets wait for each other: ${ordered.cycle.join(' → ')}`,
        next: 'leave one of these out',
      },
    )
    return
  }
  const byName = new Map(manifest.sets.map((set) => [set.name, set]))
  const placings: Placing[] = []
  for (const name of ordered.order) {
    const set = byName.get(name)
    if (set !== undefined) planSet(context, set, placings)
  }
  const looked = placings.slice(0, PREVIEWS_MAX)
  const previews = context.sets.previewPlacement(looked.map(({ row }) => row))
  for (const [at, { hostId, placement }] of previews.entries()) {
    const host = context.world.host.get(hostId)?.name
    looked[at]?.notes.push(
      host === undefined
        ? `as things are, ${placement.reason?.text ?? 'no host can take it'}`
        : `would go to ${host}`,
    )
  }
}

function planSet(context: PlanContext, asked: ManifestSet, placings: Placing[]): void {
  const { draft, world, project } = context
  const at: Thing = { kind: 'set', name: asked.name }
  const now = world.set.by('name', `${project}/${asked.name}`)[0]
  draft.see(
    at,
    now === undefined ? null : [now.id, now.generation, now.wanted, ownerKey(context, now.id)],
  )
  const needs = referencesOf(context, at, asked)
  if (needs === undefined) return
  const { after: _after, ...create } = asked
  if (now === undefined || now.wanted === 'removed') {
    planCreation(context, at, { create, needs, placings, isLeaving: now !== undefined })
    return
  }
  draft.seenSets.push({ id: now.id, generation: now.generation })
  const compared = draft.attempt(at, '', () => context.sets.compareSet(now, create, context.images))
  if (compared === undefined) return
  const fields = compared.changes
  if (fields.length === 0) warnIfUnwell(context, now)
  if (!mayChange(context, at, { id: now.id, fields })) return
  const fixed = fields.filter(({ effect }) => effect === 'recreating' || effect === 'immutable')
  if (fixed.length === 0) {
    const notes = now.wanted === 'stopped' ? ['it is stopped and stays so'] : []
    draft.change({ ...at, action: 'update', id: now.id, fields, notes })
    const body = { id: now.id, generation: now.generation, asked: create }
    draft.step({ ...at, action: 'update' }, { needs, body })
    return
  }
  if (!context.recreate) for (const field of fixed) refuse(context, at, field)
  const why = fixed.map(({ path, why: reason }) => `${path}: ${reason}`).join('; ')
  const notes: string[] = []
  if (create.address === undefined && create.port === undefined)
    notes.push('it gets another address')
  placings.push({ notes, row: { ...compared.draft, hostId: null } })
  draft.change({ ...at, action: 'recreate', id: now.id, fields, why, notes })
  draft.step({ ...at, action: 'remove' }, { body: { id: now.id, generation: now.generation } })
  draft.step({ ...at, action: 'create' }, { needs, body: { asked: create } })
}

function refuse({ draft }: PlanContext, at: Thing, field: FieldChange): void {
  draft.fixedField(
    at,
    field,
    'leave it, or apply with --recreate: the set is removed and created, and is away meanwhile',
  )
}

function planCreation(
  context: PlanContext,
  at: Thing,
  set: { create: SetCreate; needs: readonly Thing[]; placings: Placing[]; isLeaving: boolean },
): void {
  const { draft, project } = context
  const { create, needs } = set
  const row = draft.attempt(at, '', () => context.sets.draftSet(project, create, context.images))
  if (row === undefined) return
  const notes = set.isLeaving
    ? ['waits until the set of this name that is being removed is gone']
    : []
  set.placings.push({ notes, row })
  const shown = (path: string, after: unknown): FieldChange => ({
    path,
    before: null,
    after,
    effect: 'mutable',
    why: '',
  })
  const fields = [
    shown('network', create.network),
    ...create.containers.map(({ name, image }) => shown(`containers.${name}.image`, image)),
    shown('cpuMillis', create.cpuMillis),
    shown('memoryBytes', create.memoryBytes),
  ]
  draft.change({ ...at, action: 'create', fields, notes })
  draft.step({ ...at, action: 'create' }, { needs, body: { asked: create } })
}

/** What a set refers to; undefined where something of it cannot be had, which is a problem by then. */
function referencesOf(context: PlanContext, at: Thing, asked: ManifestSet): Thing[] | undefined {
  const { draft, world, project, manifest } = context
  const before = draft.problems.length
  const needs: Thing[] = [{ kind: 'network', name: asked.network }]
  if (asked.port === undefined) {
    const subnet = subnetMeant(context, at, { network: asked.network, subnet: asked.subnet })
    if (subnet !== undefined) {
      needs.push({ kind: 'subnet', name: `${asked.network}/${subnet.name}` })
      if (asked.address !== undefined) checkAddress(context, at, { subnet, address: asked.address })
    }
  } else {
    needs.push({ kind: 'port', name: asked.port })
    const isThere =
      world.port.by('name', `${project}/${asked.port}`).length > 0 ||
      manifest.ports.some(({ name }) => name === asked.port)
    if (!isThere) missing(context, at, { kind: 'port', name: asked.port, field: 'port' })
  }
  for (const { name, image } of asked.containers) {
    if (isImageKnown(context, image)) continue
    missing(context, at, { kind: 'image', name: image, field: `containers.${name}.image` })
  }
  for (const name of asked.after) {
    if (!manifest.sets.some((one) => one.name === name))
      missing(context, at, { kind: 'set', name, field: 'after' })
    needs.push({ kind: 'set', name })
  }
  return draft.problems.length === before ? needs : undefined
}

/** Nothing to change about it, and yet it does not do what it should. */
function warnIfUnwell({ world, draft }: PlanContext, set: SetRow): void {
  if (set.wanted === 'stopped') {
    draft.warnings.push(`set ${set.name} is stopped; start it: nubo set start ${set.name}`)
    return
  }
  if (set.hostId === null) {
    draft.warnings.push(
      `set ${set.name} waits for a host: ${set.placement?.reason?.text ?? 'it is being placed'}`,
    )
    return
  }
  const found = world.setFound.get(set.id)
  if (found?.state === 'failed' || found?.state === 'degraded')
    draft.warnings.push(`set ${set.name} is ${found.state}: ${found.reason?.text ?? ''}`)
}
