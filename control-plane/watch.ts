import { PlatformError, type ProjectId } from '@nubo/base'
import type { WatchEvent, WatchKind } from '@nubo/contracts'
import { mayAct, projectOf, tokenView, type Caller } from './domains/identity/index.ts'
import { brakeView, hostView } from './domains/fleet/index.ts'
import { imageView } from './domains/images/index.ts'
import { networkView, portView, subnetView } from './domains/network/index.ts'
import { operationView } from './domains/operations/index.ts'
import { setView } from './domains/compute/index.ts'
import {
  outlineOf,
  rowOutline,
  type PastChange,
  type PastChangeSet,
  type RowOutline,
  type World,
} from './world/index.ts'

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

/** What `show` of an object answers; undefined if it is not there. */
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
      return row && setView(world, row)
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

/** Whose an object is and its name; far cheaper than to show it. */
function outlineNow(world: World, kind: WatchKind, id: string): RowOutline | undefined {
  const row = world[kind].get(id)
  return row && rowOutline(kind, row)
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
  'operation',
  'brake',
]

/** What belongs to no project: only operators see it. */
function isOfOperators(kind: WatchKind): boolean {
  return kind === 'host' || kind === 'brake'
}

interface Altered {
  readonly kind: WatchKind
  readonly id: string
}

/** Which shown objects a change of a row alters: a set shows its ports, a network counts them, and so on. */
function alteredBy(world: World, change: PastChange): Altered[] {
  const { kind, id, before, after } = change
  const all = (what: WatchKind, ids: readonly (string | null | undefined)[]): Altered[] =>
    ids.flatMap((one) => (typeof one === 'string' ? [{ kind: what, id: one }] : []))
  const isNewOrGone = before === undefined || after === undefined
  switch (kind) {
    case 'account':
    case 'member':
      return []
    case 'setFound':
      return [{ kind: 'set', id }]
    case 'host':
      return [
        { kind, id },
        ...all(
          'set',
          world.set.by('host', id).map((set) => set.id),
        ),
      ]
    case 'set': {
      const isMoved = before?.hostId !== after?.hostId || before?.wanted !== after?.wanted
      const ports = isMoved ? world.port.by('set', id).map((port) => port.id) : []
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
        ...all('network', isNewOrGone ? [before?.networkId, after?.networkId] : []),
        ...all('subnet', isNewOrGone ? [before?.subnetId, after?.subnetId] : []),
      ]
    case 'subnet':
      return [{ kind, id }, ...all('network', [before?.networkId, after?.networkId])]
    default:
      return [{ kind, id }]
  }
}

/** Each altered object once, as one revision may alter it in several ways. */
function alteredIn(world: World, set: PastChangeSet): Altered[] {
  const altered = new Map<string, Altered>()
  for (const change of set.changes)
    for (const one of alteredBy(world, change)) altered.set(`${one.kind}/${one.id}`, one)
  return [...altered.values()]
}

/** Events of everything that the caller may see, from now or from a revision on. RESYNC if that is too long ago. */
export async function* watch(
  world: World,
  deps: {
    caller: Caller
    asked: WatchAsked
    signal: AbortSignal
    /** The stream ends when this says no: a revoked token, or one whose account lost its role, sees nothing more. */
    isStillAllowed: () => boolean
  },
): AsyncGenerator<WatchEvent> {
  const { caller, asked, signal, isStillAllowed } = deps
  const isOperator = mayAct(caller.role, 'operator')
  const project = projectOf(caller)
  /** What the watcher knows of, so that it can hear of the end of it. */
  const told = new Set<string>()
  const kinds = asked.kinds ?? watchable
  const mayShow = (kind: WatchKind, outline: RowOutline): boolean => {
    if (!kinds.includes(kind)) return false
    if (isOfOperators(kind) ? !isOperator : outline.projectId !== project) return false
    return kind !== 'token' || mayAct(caller.role, 'owner')
  }
  const isAsked = (kind: WatchKind, id: string, outline: RowOutline): boolean =>
    mayShow(kind, outline) &&
    (asked.id === undefined || asked.id === id || asked.id === outline.name)
  const eventOf = (kind: WatchKind, id: string, revision: number): WatchEvent | undefined => {
    const outline = outlineNow(world, kind, id)
    const key = `${kind}/${id}`
    if (outline === undefined)
      return told.delete(key) ? { type: 'removed', revision, kind, id, object: null } : undefined
    if (!isAsked(kind, id, outline)) return undefined
    told.add(key)
    return { type: 'change', revision, kind, id, object: show(world, kind, id) }
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
    const { revision } = world
    const present = kinds.flatMap((kind) =>
      [...rowsOf(world, kind, project)].map(({ id }) => ({ kind, id })),
    )
    if (missed === undefined) {
      // Made one by one, at the pace of the reader; what changes meanwhile is told again afterwards.
      for (const { kind, id } of present) {
        if (!isStillAllowed()) return
        yield* events(eventOf(kind, id, revision))
      }
    } else {
      // What is there now is known to the watcher, or is told below; so its later removal can be told too.
      for (const { kind, id } of present) {
        const outline = outlineNow(world, kind, id)
        if (outline !== undefined && isAsked(kind, id, outline)) told.add(`${kind}/${id}`)
      }
      yield* replay(missed, { world, eventOf, isAsked })
    }
    yield { type: 'synced', revision, kind: null, id: null, object: null }
    for await (const set of queue) {
      if (!isStillAllowed()) return
      for (const { kind, id } of alteredIn(world, set))
        yield* events(eventOf(kind, id, set.revision))
    }
  } finally {
    queue.close()
  }
}

function events(event: WatchEvent | undefined): WatchEvent[] {
  return event === undefined ? [] : [event]
}

/** Each object that changed once, as it is now: intermediate states are gone, the last one is told. */
function* replay(
  missed: readonly PastChangeSet[],
  deps: {
    world: World
    eventOf: (kind: WatchKind, id: string, revision: number) => WatchEvent | undefined
    isAsked: (kind: WatchKind, id: string, outline: RowOutline) => boolean
  },
): Generator<WatchEvent> {
  const { world, eventOf, isAsked } = deps
  const altered = new Map<string, Altered & { revision: number; was: RowOutline | undefined }>()
  for (const set of missed) {
    for (const change of set.changes) {
      for (const one of alteredBy(world, change)) {
        const key = `${one.kind}/${one.id}`
        // Whose it was, so that only those who could see it hear of its end; another row may have altered it since.
        const was = (one.kind === change.kind ? change.before : undefined) ?? altered.get(key)?.was
        altered.set(key, { ...one, revision: set.revision, was })
      }
    }
  }
  for (const { kind, id, revision, was } of altered.values()) {
    const event = eventOf(kind, id, revision)
    if (event !== undefined) yield event
    else if (
      was !== undefined &&
      outlineNow(world, kind, id) === undefined &&
      isAsked(kind, id, was)
    )
      yield { type: 'removed', revision, kind, id, object: null }
  }
}

/** Change sets between the world, which does not wait, and a watcher, which may. */
class EventQueue implements AsyncIterable<PastChangeSet> {
  #sets: PastChangeSet[] = []
  #wake: (() => void) | undefined
  #unsubscribe: () => void
  #signal: AbortSignal
  #overflown = false

  constructor(world: World, signal: AbortSignal) {
    this.#signal = signal
    this.#unsubscribe = world.subscribe((set) => {
      if (this.#sets.length >= WATCHER_EVENTS_MAX) this.#overflown = true
      else this.#sets.push(outlineOf(set))
      this.#wake?.()
    })
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
  }

  close(): void {
    this.#unsubscribe()
    this.#sets = []
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PastChangeSet> {
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
