import { PlatformError, sleep, type Clock, type ProjectId } from '@nubo/base'
import type { WatchEvent, WatchKind } from '@nubo/contracts'
import { encode, Encoded } from '@nubo/runtime'
import { mayAct, projectOf, tokenView, type Caller } from './domains/identity/index.ts'
import { brakeView, hostView } from './domains/fleet/index.ts'
import { imageView } from './domains/images/index.ts'
import { networkView, portView, subnetView } from './domains/network/index.ts'
import { operationView } from './domains/operations/index.ts'
import { encodedSet, vmView } from './domains/compute/index.ts'
import { AlteredObjects, type Altered } from './watch-changes.ts'
import { ownerOf, type Owner, type PastChangeSet, type World } from './world/index.ts'

/** How long a watch waits for a revision that this process has not seen yet. */
const AHEAD_WAIT_MS = 2_000
/**
 * After it has looked at changes, a watcher waits so long, and what changes meanwhile is told together: however much
 * changes, it is written to 50 times a second at most. The first news after a pause come at once.
 */
const BATCH_PERIOD_MS = 20
/** So many objects of the beginning are told in one batch. */
const PRESENT_AT_ONCE_MAX = 200
/** So many change sets are worked on in one go. */
const CHANGE_SETS_AT_ONCE_MAX = 1_000

export interface WatchAsked {
  readonly from: number | undefined
  readonly kinds: readonly WatchKind[] | undefined
  /** Only this object, by id or name. */
  readonly id: string | undefined
}

/** What `show` of an object answers; undefined if it is not there. May be encoded already. */
function show(world: World, kind: WatchKind, id: string): unknown {
  switch (kind) {
    case 'project':
      return world.project.get(id)
    case 'token': {
      const row = world.token.get(id)
      return row && tokenView(row)
    }
    case 'host': {
      const row = world.host.get(id)
      return row && hostView(world, row)
    }
    case 'network': {
      const row = world.network.get(id)
      return row && networkView(world, row)
    }
    case 'subnet': {
      const row = world.subnet.get(id)
      return row && subnetView(world, row)
    }
    case 'port': {
      const row = world.port.get(id)
      return row && portView(world, row)
    }
    case 'image': {
      const row = world.image.get(id)
      return row && imageView(world, row)
    }
    case 'set': {
      const row = world.set.get(id)
      return row && encodedSet(world, row)
    }
    case 'vm': {
      const row = world.vm.get(id)
      return row && vmView(world, row)
    }
    case 'operation': {
      const row = world.operation.get(id)
      return row && operationView(row)
    }
    case 'brake': {
      const row = world.brake.get(id)
      return row && brakeView(row)
    }
  }
}

/** All objects of a kind that can concern a project. */
function rowsOf(
  world: World,
  kind: WatchKind,
  project: ProjectId,
): Iterable<{ readonly id: string }> {
  switch (kind) {
    case 'project': {
      const row = world.project.get(project)
      return row === undefined ? [] : [row]
    }
    case 'host':
      return world.host.values()
    case 'token':
      return world.token.by('project', project)
    case 'network':
      return world.network.by('project', project)
    case 'subnet':
      return world.subnet.by('project', project)
    case 'port':
      return world.port.by('project', project)
    case 'image':
      return world.image.by('project', project)
    case 'set':
      return world.set.by('project', project)
    case 'vm':
      return world.vm.by('project', project)
    case 'operation':
      return world.operation.by('project', project)
    case 'brake':
      return world.brake.values()
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
  'vm',
  'operation',
  'brake',
]

/** What belongs to no project: only operators see it. */
function isOfOperators(kind: WatchKind): boolean {
  return kind === 'host' || kind === 'brake'
}

export interface WatchDeps {
  readonly caller: Caller
  readonly asked: WatchAsked
  readonly signal: AbortSignal
  /** The stream ends when this says no: a revoked token, or one whose account lost its role, sees nothing more. */
  readonly isStillAllowed: () => boolean
}

type Events = readonly Encoded<WatchEvent>[]

export interface Watches {
  /**
   * Batches of events of everything that the caller may see, from now or from a revision on. RESYNC if that is too long
   * ago. Ends when the watcher has fallen behind what the world remembers.
   */
  watch(deps: WatchDeps): AsyncGenerator<Events>
}

/**
 * The watchers of one server. None has a queue: each reads the world's history from the revision on that it has come
 * to, so a slow one costs no memory, and all of them share what was looked up and encoded for one of them.
 */
export function createWatches({ world, clock }: { world: World; clock: Clock }): Watches {
  const shared = { world, clock, altered: new AlteredObjects(world), texts: new EventTexts(world) }
  return { watch: (deps) => watch(shared, deps) }
}

interface Shared {
  readonly world: World
  readonly clock: Clock
  readonly altered: AlteredObjects
  readonly texts: EventTexts
}

async function* watch(shared: Shared, deps: WatchDeps): AsyncGenerator<Events> {
  const { world, clock } = shared
  const { asked, signal, isStillAllowed } = deps
  // Another server was ahead of this one when it told the revision; one that never comes is of another record.
  if (asked.from !== undefined && asked.from > world.revision) {
    await world.reached(asked.from, AHEAD_WAIT_MS).catch(() => {
      throw new PlatformError('RESYNC', { from: asked.from, now: world.revision })
    })
  }
  const begunAt = world.revision
  if (asked.from !== undefined && world.changesSince(asked.from, 1) === undefined)
    throw new PlatformError('RESYNC', { from: asked.from, now: begunAt })
  const watcher = new Watcher(shared, deps)
  if (asked.from === undefined) {
    for (const events of watcher.present(begunAt)) {
      if (!isStillAllowed()) return
      yield events
    }
  }
  const news = new News(world, signal)
  try {
    let at = asked.from ?? begunAt
    let isSynced = false
    while (!signal.aborted) {
      const sets = world.changesSince(at, CHANGE_SETS_AT_ONCE_MAX)
      if (sets === undefined || !isStillAllowed()) return
      const told = watcher.tell(sets, { isReplay: at < begunAt })
      at = sets.at(-1)?.revision ?? at
      const isNowSynced: boolean = !isSynced && at >= begunAt
      if (isNowSynced) told.push(syncedAt(begunAt))
      isSynced ||= isNowSynced
      if (told.length > 0) yield told
      if (at < world.revision && !isSynced) continue
      await sleep(clock, BATCH_PERIOD_MS, signal).catch(() => undefined)
      await news.after(at)
    }
  } finally {
    news.close()
  }
}

function syncedAt(revision: number): Encoded<WatchEvent> {
  return encode({ type: 'synced', revision, kind: null, id: null, object: null })
}

/** One watcher: what it may see, and how changes are told to it. */
class Watcher {
  readonly #shared: Shared
  readonly #deps: WatchDeps
  readonly #project: ProjectId
  readonly #kinds: readonly WatchKind[]
  /** Objects that were gone before they could be told; nobody needs to hear of their end either. */
  readonly #untold = new Set<string>()

  constructor(shared: Shared, deps: WatchDeps) {
    this.#shared = shared
    this.#deps = deps
    this.#project = projectOf(deps.caller)
    this.#kinds = deps.asked.kinds ?? watchable
  }

  /** What there is, made at the pace of the reader; what changes meanwhile is told again afterwards. */
  *present(revision: number): Generator<Events, undefined> {
    const { world } = this.#shared
    const all = this.#kinds.map((kind) => ({
      kind,
      rows: [...rowsOf(world, kind, this.#project)],
    }))
    let events: Encoded<WatchEvent>[] = []
    for (const { kind, rows } of all) {
      for (const row of rows) {
        const { id } = row
        if (!this.#isAsked(kind, id, ownerOf(kind, row))) continue
        if (world[kind].get(id) === undefined) this.#untold.add(`${kind}/${id}`)
        else events.push(changeEvent(world, { kind, id, revision }))
        if (events.length < PRESENT_AT_ONCE_MAX) continue
        yield events
        events = []
      }
    }
    if (events.length > 0) yield events
  }

  /** In a replay the watcher may have been told of the first revisions already, before its connection broke. */
  tell(sets: readonly PastChangeSet[], { isReplay }: { isReplay: boolean }): Encoded<WatchEvent>[] {
    return this.#shared.altered
      .in(sets)
      .flatMap((altered) => this.#eventOf(altered, isReplay) ?? [])
  }

  #eventOf(altered: Altered, isReplay: boolean): Encoded<WatchEvent> | undefined {
    const { kind, id, key, outline, isNew, isGone, revision } = altered
    const row = this.#shared.world[kind].get(id)
    if (row !== undefined) {
      const isAsked = this.#isAsked(kind, id, ownerOf(kind, row))
      return isAsked ? this.#shared.texts.change({ kind, id, revision }) : undefined
    }
    if (outline === undefined || !this.#isAsked(kind, id, outline)) return undefined
    // Its end is told with the revision that ended it, unless there was no time to tell of it at all.
    const mayBeKnown = isReplay || !isNew
    if (!mayBeKnown && !isGone) this.#untold.add(key)
    if (!mayBeKnown || !isGone || this.#untold.delete(key)) return undefined
    return encode({ type: 'removed', revision, kind, id, object: null })
  }

  #isAsked(kind: WatchKind, id: string, owner: Owner): boolean {
    const { caller, asked } = this.#deps
    if (!this.#kinds.includes(kind)) return false
    if (isOfOperators(kind) ? !mayAct(caller.role, 'operator') : owner.projectId !== this.#project)
      return false
    if (kind === 'token' && !mayAct(caller.role, 'owner')) return false
    return asked.id === undefined || asked.id === id || asked.id === owner.name
  }
}

interface ChangeTold {
  readonly kind: WatchKind
  readonly id: string
  readonly revision: number
}

/** Events of the newest revision, each encoded once for all who may see it. */
class EventTexts {
  readonly #world: World
  readonly #texts = new Map<string, Encoded<WatchEvent>>()
  #revision = 0

  constructor(world: World) {
    this.#world = world
  }

  change(told: ChangeTold): Encoded<WatchEvent> {
    if (this.#revision !== this.#world.revision) this.#texts.clear()
    this.#revision = this.#world.revision
    const key = `${told.kind}/${told.id}/${told.revision}`
    const known = this.#texts.get(key)
    if (known !== undefined) return known
    const text = changeEvent(this.#world, told)
    this.#texts.set(key, text)
    return text
  }
}

function changeEvent(world: World, { kind, id, revision }: ChangeTold): Encoded<WatchEvent> {
  const object = show(world, kind, id)
  const text = object instanceof Encoded ? object.text : JSON.stringify(object)
  return new Encoded(
    `{"type":"change","revision":${revision},"kind":"${kind}","id":"${id}","object":${text}}`,
  )
}

/** Wakes a watcher that waits for the world to go on. */
class News {
  readonly #world: World
  readonly #signal: AbortSignal
  readonly #unsubscribe: () => void
  #wake: (() => void) | undefined
  readonly #onAbort = (): void => this.#wake?.()

  constructor(world: World, signal: AbortSignal) {
    this.#world = world
    this.#signal = signal
    this.#unsubscribe = world.subscribe(() => this.#wake?.())
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Resolves when the world is past the revision, or the signal aborts. */
  async after(revision: number): Promise<void> {
    while (this.#world.revision <= revision && !this.#signal.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    this.#wake = undefined
  }

  close(): void {
    this.#unsubscribe()
    this.#signal.removeEventListener('abort', this.#onAbort)
  }
}
