import type { WatchKind } from '@nubo/contracts'
import type { PastChange, PastChangeSet, RowOutline, World } from './world/index.ts'

/** An object that can be shown. */
interface Shown {
  readonly kind: WatchKind
  readonly id: string
}

/** What revisions did to an object that is shown. */
export interface Altered extends Shown {
  readonly key: string
  /** The last of these revisions. */
  readonly revision: number
  /** What it was when they began, or as they made it; undefined if only what it shows of others changed. */
  readonly outline: RowOutline | undefined
  /** It was not there before. */
  readonly isNew: boolean
  /** It is not there any more. */
  readonly isGone: boolean
}

/** Which shown objects a change of a row alters: a set shows its ports, a network counts them, and so on. */
function alteredBy(world: World, change: PastChange): Shown[] {
  const { kind, id, before, after } = change
  const all = (what: WatchKind, ids: readonly (string | null | undefined)[]): Shown[] =>
    ids.flatMap((one) => (typeof one === 'string' ? [{ kind: what, id: one }] : []))
  const isNewOrGone = before === undefined || after === undefined
  switch (kind) {
    case 'account':
    case 'member':
    case 'manifest':
    case 'applied':
      return []
    case 'setFound':
      return [{ kind: 'set', id }]
    case 'vmFound':
      return [{ kind: 'vm', id }]
    case 'host':
      return [
        { kind, id },
        ...all(
          'set',
          world.set.by('host', id).map((set) => set.id),
        ),
        ...all(
          'vm',
          world.vm.by('host', id).map((vm) => vm.id),
        ),
      ]
    case 'set':
    case 'vm': {
      const isMoved = before?.hostId !== after?.hostId || before?.wanted !== after?.wanted
      const ports = isMoved ? world.port.by('instance', id).map((port) => port.id) : []
      return [
        { kind, id },
        ...all('host', isMoved ? [before?.hostId, after?.hostId] : []),
        ...all('port', ports),
        ...all(
          'image',
          isNewOrGone ? [...(before?.imageIds ?? []), ...(after?.imageIds ?? [])] : [],
        ),
      ]
    }
    case 'port':
      return [
        { kind, id },
        ...all('set', [before?.setId, after?.setId]),
        ...all('vm', [before?.vmId, after?.vmId]),
        ...all('network', isNewOrGone ? [before?.networkId, after?.networkId] : []),
        ...all('subnet', isNewOrGone ? [before?.subnetId, after?.subnetId] : []),
      ]
    case 'subnet':
      return [{ kind, id }, ...all('network', [before?.networkId, after?.networkId])]
    default:
      return [{ kind, id }]
  }
}

/**
 * What change sets alter, by revision: each object once, as nobody needs to be told of what is over. A change set is
 * looked at once, however many watchers are told of it.
 */
export class AlteredObjects {
  readonly #world: World
  readonly #ofSets = new WeakMap<PastChangeSet, readonly Altered[]>()

  constructor(world: World) {
    this.#world = world
  }

  in(sets: readonly PastChangeSet[]): readonly Altered[] {
    const [only] = sets
    if (only !== undefined && sets.length === 1) return this.#of(only)
    return merged(sets.flatMap((set) => this.#of(set)))
  }

  #of(set: PastChangeSet): readonly Altered[] {
    const known = this.#ofSets.get(set)
    if (known !== undefined) return known
    const altered = merged(set.changes.flatMap((change) => this.#by(change, set.revision)))
    this.#ofSets.set(set, altered)
    return altered
  }

  #by(change: PastChange, revision: number): Altered[] {
    return alteredBy(this.#world, change).map(({ kind, id }): Altered => {
      const key = `${kind}/${id}`
      return kind === change.kind && id === change.id
        ? {
            key,
            kind,
            id,
            revision,
            outline: change.before ?? change.after,
            isNew: change.before === undefined,
            isGone: change.after === undefined,
          }
        : { key, kind, id, revision, outline: undefined, isNew: false, isGone: false }
    })
  }
}

/** In order of their last revisions. */
function merged(all: readonly Altered[]): readonly Altered[] {
  const byKey = new Map<string, Altered>()
  for (const one of all) {
    const before = byKey.get(one.key)
    // Put at the end, so that revisions never go back.
    if (before !== undefined) byKey.delete(one.key)
    byKey.set(
      one.key,
      before === undefined
        ? one
        : {
            ...one,
            outline: before.outline ?? one.outline,
            isNew: before.isNew || one.isNew,
            isGone: before.isGone || one.isGone,
          },
    )
  }
  return [...byKey.values()]
}
