import { PlatformError } from '@nubo/base'
import type { WatchEvent, WatchKind } from '@nubo/contracts'
import { mayAct, projectOf, type Caller } from './domains/identity/index.ts'
import { hostView } from './domains/fleet/index.ts'
import { imageView } from './domains/images/index.ts'
import { networkView, portView, subnetView } from './domains/network/index.ts'
import { operationView } from './domains/operations/index.ts'
import { setView } from './domains/compute/index.ts'
import type { Change, ChangeSet, World, WorldKind } from './world/index.ts'

/** A watcher that falls this far behind is cut off; it resumes from its revision. */
const WATCHER_EVENTS_MAX = 10_000

/** How long a watch waits for a revision that this process has not seen yet. */
const AHEAD_WAIT_MS = 2_000

export interface WatchAsked {
  readonly from: number | undefined
  readonly kinds: readonly WatchKind[] | undefined
  /** Only this object, by id or name. */
  readonly id: string | undefined
}

type Shown = { readonly projectId: string | null; readonly name: string; readonly object: unknown }

/** What `show` of an object answers; undefined if it is not there. */
function show(world: World, kind: WatchKind, id: string): Shown | undefined {
  switch (kind) {
    case 'project': {
      const row = world.project.get(id)
      return row && { projectId: row.id, name: row.name, object: row }
    }
    case 'token': {
      const row = world.token.get(id)
      if (row === undefined) return undefined
      const { secretSha256: _secret, ...object } = row
      return { projectId: row.projectId, name: row.name, object }
    }
    case 'host': {
      const row = world.host.get(id)
      return row && { projectId: null, name: row.name, object: hostView(world, row) }
    }
    case 'network': {
      const row = world.network.get(id)
      return row && { projectId: row.projectId, name: row.name, object: networkView(world, row) }
    }
    case 'subnet': {
      const row = world.subnet.get(id)
      return row && { projectId: row.projectId, name: row.name, object: subnetView(world, row) }
    }
    case 'port': {
      const row = world.port.get(id)
      return row && { projectId: row.projectId, name: row.name, object: portView(world, row) }
    }
    case 'image': {
      const row = world.image.get(id)
      return row && { projectId: row.projectId, name: row.name, object: imageView(world, row) }
    }
    case 'set': {
      const row = world.set.get(id)
      return row && { projectId: row.projectId, name: row.name, object: setView(world, row) }
    }
    case 'operation': {
      const row = world.operation.get(id)
      return row && { projectId: row.projectId, name: row.resourceName, object: operationView(row) }
    }
  }
}

const watchable: readonly WatchKind[] = [
  'project',
  'token',
  'host',
  'network',
  'subnet',
  'port',
  'image',
  'set',
  'operation',
]

/** Which shown objects a change of a row alters: a set shows its host's state and its ports too. */
function alteredBy(world: World, change: Change): { kind: WatchKind; id: string }[] {
  const kind: WorldKind = change.kind
  switch (kind) {
    case 'account':
      return []
    case 'setFound':
      return [{ kind: 'set', id: change.id }]
    case 'host':
      return [
        { kind: 'host', id: change.id },
        ...world.set.by('host', change.id).map((set) => ({ kind: 'set' as const, id: set.id })),
      ]
    default:
      return [{ kind, id: change.id }]
  }
}

/** Events of everything that the caller may see, from now or from a revision on. RESYNC if that is too long ago. */
export async function* watch(
  world: World,
  deps: {
    caller: Caller
    asked: WatchAsked
    signal: AbortSignal
    /** The stream ends when this says no: a revoked token sees nothing more. */
    isStillAllowed: () => boolean
  },
): AsyncGenerator<WatchEvent> {
  const { caller, asked, signal, isStillAllowed } = deps
  const isOperator = mayAct(caller.role, 'operator')
  const project = projectOf(caller)
  const owners = new Map<string, string | null>()
  const kinds = asked.kinds ?? watchable
  const mayShow = (kind: WatchKind, shown: Pick<Shown, 'projectId'>): boolean => {
    if (kind === 'host') return isOperator
    if (kind === 'token' && !mayAct(caller.role, 'owner')) return false
    return shown.projectId === project
  }
  const eventOf = (kind: WatchKind, id: string, revision: number): WatchEvent | undefined => {
    if (!kinds.includes(kind)) return undefined
    const shown = show(world, kind, id)
    const key = `${kind}/${id}`
    if (shown === undefined)
      return owners.delete(key) ? { type: 'removed', revision, kind, id, object: null } : undefined
    if (!mayShow(kind, shown)) return undefined
    if (asked.id !== undefined && asked.id !== id && asked.id !== shown.name) return undefined
    owners.set(key, shown.projectId)
    return { type: 'change', revision, kind, id, object: shown.object }
  }

  // Another server was ahead of this one when it told the revision; one that never comes is of another record.
  if (asked.from !== undefined && asked.from > world.revision) {
    await world.reached(asked.from, AHEAD_WAIT_MS).catch(() => {
      throw new PlatformError('RESYNC', { from: asked.from, now: world.revision })
    })
  }
  const queue = new EventQueue(world, signal)
  try {
    const missed = asked.from === undefined ? undefined : world.changesSince(asked.from)
    if (asked.from !== undefined && missed === undefined)
      throw new PlatformError('RESYNC', { from: asked.from, now: world.revision })
    // What is there now is known to the watcher, or is told to it first; so its later removal can be told too.
    const first: WatchEvent[] = []
    for (const kind of kinds)
      for (const row of world[kind].values())
        first.push(...present(eventOf(kind, row.id, world.revision)))
    const revision = world.revision
    if (missed === undefined) yield* first
    else yield* replay(missed, { world, kinds, eventOf, mayShow, id: asked.id })
    yield { type: 'synced', revision, kind: null, id: null, object: null }
    for await (const set of queue) {
      if (!isStillAllowed()) return
      for (const change of set.changes) {
        for (const altered of alteredBy(world, change))
          yield* present(eventOf(altered.kind, altered.id, set.revision))
      }
    }
  } finally {
    queue.close()
  }
}

function present(event: WatchEvent | undefined): WatchEvent[] {
  return event === undefined ? [] : [event]
}

/** Each object that changed once, as it is now: intermediate states are gone, the last one is told. */
function* replay(
  missed: readonly ChangeSet[],
  deps: {
    world: World
    kinds: readonly WatchKind[]
    eventOf: (kind: WatchKind, id: string, revision: number) => WatchEvent | undefined
    mayShow: (kind: WatchKind, shown: Pick<Shown, 'projectId'>) => boolean
    /** Only this object, by id or name. */
    id: string | undefined
  },
): Generator<WatchEvent> {
  const altered = new Map<string, { kind: WatchKind; id: string; revision: number; was: Was }>()
  for (const set of missed) {
    for (const change of set.changes) {
      for (const one of alteredBy(deps.world, change)) {
        const was = one.kind === change.kind ? wasBefore(change) : undefined
        altered.set(`${one.kind}/${one.id}`, { ...one, revision: set.revision, was })
      }
    }
  }
  for (const { kind, id, revision, was } of altered.values()) {
    const event = deps.eventOf(kind, id, revision)
    if (event !== undefined) yield event
    else if (
      was !== undefined &&
      deps.kinds.includes(kind) &&
      show(deps.world, kind, id) === undefined &&
      deps.mayShow(kind, was) &&
      (deps.id === undefined || deps.id === id || deps.id === was.name)
    )
      yield { type: 'removed', revision, kind, id, object: null }
  }
}

type Was = { readonly projectId: string | null; readonly name: string } | undefined

/** Whose a row was, and its name, so that only those who could see it hear of its end. */
function wasBefore({ kind, id, before }: Change): Was {
  if (before === undefined) return undefined
  const name = kind === 'operation' ? textOf(before, 'resourceName') : textOf(before, 'name')
  const projectId = kind === 'project' ? id : textOf(before, 'projectId')
  return { projectId: projectId ?? null, name: name ?? '' }
}

function textOf(row: object, field: string): string | undefined {
  const value: unknown = Object.entries(row).find(([key]) => key === field)?.[1]
  return typeof value === 'string' ? value : undefined
}

/** Change sets between the world, which does not wait, and a watcher, which may. */
class EventQueue implements AsyncIterable<ChangeSet> {
  #sets: ChangeSet[] = []
  #wake: (() => void) | undefined
  #unsubscribe: () => void
  #signal: AbortSignal
  #overflown = false

  constructor(world: World, signal: AbortSignal) {
    this.#signal = signal
    this.#unsubscribe = world.subscribe((set) => {
      if (this.#sets.length >= WATCHER_EVENTS_MAX) this.#overflown = true
      else this.#sets.push(set)
      this.#wake?.()
    })
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
  }

  close(): void {
    this.#unsubscribe()
    this.#sets = []
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ChangeSet> {
    while (!this.#signal.aborted && !this.#overflown) {
      const set = this.#sets.shift()
      if (set !== undefined) {
        yield set
        continue
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }
}
