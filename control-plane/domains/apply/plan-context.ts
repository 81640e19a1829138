import type { ProjectId } from '@nubo/base'
import { fieldRow, type FieldChange, type Manifest, type ManifestKind } from '@nubo/contracts'
import type { ManifestRow, PortRow, World } from '../../world/index.ts'
import type { ComputeService, ImageResolver } from '../compute/index.ts'
import type { DraftPlan } from './draft-plan.ts'

export interface Thing {
  readonly kind: ManifestKind
  readonly name: string
}

/** What a plan is made of: what is, what shall be, and how far one may go. */
export interface PlanContext {
  readonly world: World
  readonly project: ProjectId
  readonly manifest: Manifest
  /** Undefined where it was never applied. */
  readonly manifestRow: ManifestRow | undefined
  readonly prune: boolean
  readonly recreate: boolean
  readonly draft: DraftPlan
  readonly sets: Pick<ComputeService, 'compareSet' | 'draftSet' | 'previewPlacement'>
  /** Knows images that are still to be uploaded too. */
  readonly images: ImageResolver
  /** What is looked up for many things is looked up once: a manifest may have a thousand, a subnet many more. */
  readonly looked: {
    readonly subnets: Map<string, KnownSubnet[]>
    readonly holders: Map<string, ReadonlyMap<string, PortRow>>
  }
}

export interface KnownSubnet {
  readonly name: string
  readonly cidr: string
  /** Null while it is not created. */
  readonly id: string | null
}

/** Whose a thing is: nobody's, this manifest's, or that of another one, by name. */
export function ownerOf(
  { world, manifestRow }: PlanContext,
  id: string,
): { readonly is: 'nobody' } | { readonly is: 'us' } | { readonly is: 'other'; name: string } {
  const applied = world.applied.get(id)
  const owner = world.manifest.get(applied?.manifestId)
  if (owner === undefined) return { is: 'nobody' }
  return owner.id === manifestRow?.id ? { is: 'us' } : { is: 'other', name: owner.name }
}

/** For the check: a thing that changes hands has moved. */
export function ownerKey({ world }: PlanContext, id: string): string | null {
  return world.applied.get(id)?.manifestId ?? null
}

export function networkRow({ world, project }: PlanContext, name: string) {
  return world.network.by('name', `${project}/${name}`)[0]
}

export function isDeclared({ manifest }: PlanContext, { kind, name }: Thing): boolean {
  switch (kind) {
    case 'network':
      return manifest.networks.some((one) => one.name === name)
    case 'subnet':
      return manifest.subnets.some((one) => `${one.network}/${one.name}` === name)
    case 'port':
      return manifest.ports.some((one) => one.name === name)
    case 'image':
      return manifest.images.some((one) => one.name === name)
    case 'set':
      return manifest.sets.some((one) => one.name === name)
  }
}

/** Subnets that a network has or will have; undefined if there is no such network and none is to come. */
export function subnetsOf(context: PlanContext, network: string): KnownSubnet[] | undefined {
  const row = networkRow(context, network)
  if (row === undefined && !isDeclared(context, { kind: 'network', name: network }))
    return undefined
  const looked = context.looked.subnets.get(network)
  if (looked !== undefined) return looked
  const known = new Map<string, KnownSubnet>()
  for (const { network: of, name, cidr } of context.manifest.subnets)
    if (of === network) known.set(name, { name, cidr, id: null })
  if (row !== undefined)
    for (const { name, cidr, id } of context.world.subnet.by('network', row.id))
      known.set(name, { name, cidr, id })
  const subnets = [...known.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  context.looked.subnets.set(network, subnets)
  return subnets
}

/** Who has which address of a subnet. */
export function holdersOf(
  { world, looked }: PlanContext,
  subnetId: string,
): ReadonlyMap<string, PortRow> {
  const known = looked.holders.get(subnetId)
  if (known !== undefined) return known
  const holders = new Map(world.port.by('subnet', subnetId).map((port) => [port.address, port]))
  looked.holders.set(subnetId, holders)
  return holders
}

/** The subnet that is meant; a problem of `at` where that cannot be told. */
export function subnetMeant(
  context: PlanContext,
  at: Thing,
  asked: { network: string; subnet: string | undefined },
): KnownSubnet | undefined {
  const { draft } = context
  const known = subnetsOf(context, asked.network)
  if (known === undefined) {
    missing(context, at, { kind: 'network', name: asked.network, field: 'network' })
    return undefined
  }
  if (asked.subnet !== undefined) {
    const found = known.find(({ name }) => name === asked.subnet)
    if (found === undefined)
      missing(context, at, { kind: 'subnet', name: asked.subnet, field: 'subnet' })
    return found
  }
  const [only, ...more] = known
  if (only !== undefined && more.length === 0) return only
  draft.problem(at, {
    code: 'INVALID_INPUT',
    field: 'subnet',
    text:
      only === undefined
        ? `network ${asked.network} has no subnet`
        : `network ${asked.network} has ${known.length} subnets; one must be named`,
    next:
      only === undefined
        ? 'add one to the subnets of the manifest'
        : `name one of: ${known.map(({ name }) => name).join(', ')}`,
  })
  return undefined
}

export function missing(
  { draft }: PlanContext,
  at: Thing,
  what: { kind: string; name: string; field: string },
): void {
  draft.problem(at, {
    code: 'NOT_FOUND',
    field: what.field,
    text: `there is no ${what.kind} ${what.name}, neither in the manifest nor in the project`,
    next: `add it to the ${what.kind}s of the manifest, or correct the name`,
  })
}

/** Fields that differ, by the table of fields. What is not asked for is left as it is. */
export function differences(
  kind: ManifestKind,
  fields: readonly (readonly [path: string, before: unknown, after: unknown])[],
): FieldChange[] {
  return fields.flatMap(([path, before, after]) => {
    const row = fieldRow(kind, path)
    if (row === undefined) throw new Error(`the table of fields has no row for ${path} of ${kind}`)
    return after === undefined || before === after
      ? []
      : [{ path, before, after, effect: row.effect, why: row.why }]
  })
}

/**
 * Deals with a thing that is there: nothing to do, taken over, or not ours to change. Returns whether it may be changed
 * as `fields` say.
 */
export function mayChange(
  context: PlanContext,
  at: Thing,
  now: { id: string; fields: readonly FieldChange[] },
): boolean {
  const { draft } = context
  const owner = ownerOf(context, now.id)
  if (now.fields.length === 0) {
    if (owner.is !== 'nobody') draft.unchanged++
    else {
      draft.change({
        ...at,
        action: 'adopt',
        id: now.id,
        notes: ['it was made without a manifest'],
      })
      draft.step({ ...at, action: 'adopt' }, { body: { id: now.id } })
    }
    return false
  }
  if (owner.is === 'other') {
    draft.problem(at, {
      code: 'IN_USE',
      field: now.fields[0]?.path ?? '',
      text: `it belongs to the manifest ${owner.name}, which describes it otherwise`,
      next: `describe it in one manifest only: there, or here after ${owner.name} was applied without it`,
    })
    return false
  }
  return true
}
