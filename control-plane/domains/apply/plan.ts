import type { ImageId, ProjectId } from '@nubo/base'
import { manifestKinds, type Manifest, type ManifestKind, type Plan } from '@nubo/contracts'
import type { World } from '../../world/index.ts'
import type { ImageResolver } from '../compute/index.ts'
import { DraftPlan } from './draft-plan.ts'
import { isDeclared, type PlanContext, type Thing } from './plan-context.ts'
import { planImage, planNetwork, planPort, planSubnet } from './plan-network.ts'
import { planSets } from './plan-sets.ts'

export interface PlanAsked {
  readonly manifest: Manifest
  readonly prune: boolean
  readonly recreate: boolean
}

export interface PlanDeps {
  readonly world: World
  readonly sets: PlanContext['sets']
  readonly images: ImageResolver
}

export interface MadePlan {
  readonly draft: DraftPlan
  readonly view: Plan
}

/**
 * What applying a manifest would change now. Reads the world, changes nothing; the same world and manifest give the same
 * plan. What keeps it from being applied is in its problems.
 */
export function makePlan(deps: PlanDeps, project: ProjectId, asked: PlanAsked): MadePlan {
  const { world } = deps
  const { manifest } = asked
  const draft = new DraftPlan()
  const context: PlanContext = {
    ...deps,
    ...asked,
    project,
    draft,
    manifestRow: world.manifest.by('name', `${project}/${manifest.name}`)[0],
    images: pendingToo(deps.images, manifest),
    looked: { subnets: new Map(), holders: new Map() },
  }
  refuseDuplicates(context)
  for (const one of manifest.networks) planNetwork(context, one)
  for (const one of manifest.subnets) planSubnet(context, one)
  for (const one of manifest.ports) planPort(context, one)
  for (const one of manifest.images) planImage(context, one)
  planSets(context)
  const orphans = orphansOf(context)
  if (asked.prune) planPrune(context, orphans)
  return {
    draft,
    view: {
      manifest: manifest.name,
      revision: world.revision,
      check: `${world.revision}-${draft.digest}`,
      changes: draft.changes,
      problems: draft.problems,
      unchanged: draft.unchanged,
      orphans: orphans.map(({ kind, name }) => ({ kind, name })),
      warnings: draft.warnings,
    },
  }
}

/** The part of a check that does not move with the world. */
export function digestOf(check: string): string {
  return check.slice(check.indexOf('-') + 1)
}

/** Images that are uploaded before anything is applied are taken as there. */
function pendingToo(images: ImageResolver, manifest: Manifest): ImageResolver {
  const pending = new Set(
    manifest.images.filter(({ willUpload }) => willUpload).map(({ name }) => name),
  )
  return {
    resolve: (project, nameOrId) => {
      try {
        return images.resolve(project, nameOrId)
      } catch (error) {
        if (!pending.has(nameOrId)) throw error
        // proof: never recorded, for a plan with an image that is still missing is not applied
        return { id: '' as ImageId, name: nameOrId, repository: '', digest: '', disk: null }
      }
    },
  }
}

function refuseDuplicates({ manifest, draft }: PlanContext): void {
  const seen = new Set<string>()
  const names: Thing[] = [
    ...manifest.networks.map(({ name }): Thing => ({ kind: 'network', name })),
    ...manifest.subnets.map(({ network, name }): Thing => ({
      kind: 'subnet',
      name: `${network}/${name}`,
    })),
    ...manifest.ports.map(({ name }): Thing => ({ kind: 'port', name })),
    ...manifest.images.map(({ name }): Thing => ({ kind: 'image', name })),
    ...manifest.sets.map(({ name }): Thing => ({ kind: 'set', name })),
  ]
  for (const thing of names) {
    const key = `${thing.kind} ${thing.name}`
    if (seen.has(key))
      draft.problem(thing, {
        code: 'INVALID_INPUT',
        field: 'name',
        text: `the manifest describes two ${thing.kind}s of this name`,
        next: 'leave one out, or give it another name',
      })
    seen.add(key)
  }
}

interface Orphan extends Thing {
  readonly id: string
}

/** What uses others goes before what is used. */
const pruneOrder: readonly ManifestKind[] = ['set', 'port', 'subnet', 'network', 'image']

/** What belongs to the manifest, is still there, and is not in it any more. */
function orphansOf(context: PlanContext): Orphan[] {
  const { world, manifestRow } = context
  if (manifestRow === undefined) return []
  return world.applied
    .by('manifest', manifestRow.id)
    .flatMap(({ id, kind }): Orphan[] => {
      const name = nameOf(world, kind, id)
      if (name === undefined || isDeclared(context, { kind, name })) return []
      return world.set.get(id)?.wanted === 'removed' ? [] : [{ kind, name, id }]
    })
    .toSorted(
      (a, b) =>
        pruneOrder.indexOf(a.kind) - pruneOrder.indexOf(b.kind) || (a.name < b.name ? -1 : 1),
    )
}

function nameOf(world: World, kind: ManifestKind, id: string): string | undefined {
  if (kind !== 'subnet') return world[kind].get(id)?.name
  const row = world.subnet.get(id)
  return row && `${world.network.get(row.networkId)?.name ?? ''}/${row.name}`
}

function planPrune(context: PlanContext, orphans: readonly Orphan[]): void {
  const { world, draft, manifest } = context
  for (const orphan of orphans) {
    const { kind, name, id } = orphan
    const set = kind === 'set' ? world.set.get(id) : undefined
    draft.see(orphan, ['orphan', id, set?.generation ?? null])
    if (set !== undefined) draft.seenSets.push({ id, generation: set.generation })
    const keeper = keepersOf(context, orphan).find(
      (one) => !orphans.some((other) => other.id === one.id),
    )
    if (keeper !== undefined)
      draft.problem(orphan, {
        code: 'IN_USE',
        field: '',
        text: `${keeper.kind} ${keeper.name} uses it, so it cannot be pruned`,
        next: `name it in the manifest again, or remove ${keeper.kind} ${keeper.name}`,
      })
    const why = `the manifest ${manifest.name} does not name it any more`
    draft.change({ kind, name, action: 'remove', id, why })
    const at = manifestKinds.indexOf(kind)
    const after = orphans.filter(
      (one) => manifestKinds.indexOf(one.kind) > at && uses(world, one, orphan),
    )
    draft.prune({ kind, name }, { after, body: { id, generation: set?.generation ?? null } })
  }
}

/** Whether `user` must be gone before `used` can be. */
function uses(world: World, user: Orphan, used: Orphan): boolean {
  const ports = user.kind === 'set' ? world.port.by('instance', user.id) : []
  const port = user.kind === 'port' ? world.port.get(user.id) : undefined
  switch (used.kind) {
    case 'set':
      return false
    case 'image':
      return world.set.get(user.id)?.containers.some(({ imageId }) => imageId === used.id) === true
    case 'port':
      return ports.some(({ id }) => id === used.id)
    case 'subnet':
      return port?.subnetId === used.id || ports.some(({ subnetId }) => subnetId === used.id)
    case 'network':
      return (
        world.subnet.get(user.id)?.networkId === used.id ||
        port?.networkId === used.id ||
        ports.some(({ networkId }) => networkId === used.id)
      )
  }
}

/** What will still be there and uses a thing; sets that the same plan changes may let go of it. */
function keepersOf({ world, draft }: PlanContext, { kind, id }: Orphan): Orphan[] {
  const isChanged = (name: string): boolean =>
    draft.changes.some((change) => change.kind === 'set' && change.name === name)
  const set = (setId: string | null): Orphan[] => {
    const row = world.set.get(setId)
    if (row === undefined || row.wanted === 'removed' || isChanged(row.name)) return []
    return [{ kind: 'set', id: row.id, name: row.name }]
  }
  switch (kind) {
    case 'set':
      return []
    case 'image':
      return world.set.by('image', id).flatMap((row) => set(row.id))
    case 'port':
      return set(world.port.get(id)?.setId ?? null)
    case 'subnet':
      return world.port
        .by('subnet', id)
        .flatMap((port) =>
          port.ownedBySet ? set(port.setId) : [{ kind: 'port', id: port.id, name: port.name }],
        )
    case 'network':
      return world.subnet
        .by('network', id)
        .map((row) => ({ kind: 'subnet', id: row.id, name: row.name }))
  }
}
