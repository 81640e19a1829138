import {
  isUuid,
  PlatformError,
  type Clock,
  type HostId,
  type ProjectId,
  type Random,
} from '@nubo/base'
import type { FieldChange, SetCreate } from '@nubo/contracts'
import type { OperationRow, Recorder, SetRow, Touched, Tx, World } from '../../world/index.ts'
import { projectOf, type Caller } from '../identity/index.ts'
import {
  endOperation,
  insertOperation,
  newOperation,
  supersedeOperations,
} from '../operations/index.ts'
import { askOf, factsOf, rejection, type WorldLedger } from '../placement/index.ts'
import { draftSet } from './draft.ts'
import type { ImageResolver } from './needs.ts'
import { previewPlacement, type PlacementPreview } from './reconcilers/place.ts'
import { attachmentAsked, attachmentOf, changesOfSet, reachesHost } from './set-form.ts'
import { lockRooms, type HostRoom } from './placing-store.ts'
import { lockSet, rewriteSet } from './store.ts'
import { holdImages } from './wanted-store.ts'

export interface UpdateDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly images: ImageResolver
  readonly ledger: WorldLedger
}

export function setUpdates(
  deps: UpdateDeps,
  findSet: (project: ProjectId, nameOrId: string) => SetRow,
) {
  const { world } = deps

  /** What would change if a set were asked for so now. NOT_FOUND, INVALID_INPUT. */
  function compareSet(
    set: SetRow,
    asked: SetCreate,
    images: ImageResolver = deps.images,
  ): { draft: SetRow; changes: FieldChange[] } {
    const draft = { ...draftSet({ ...deps, images }, set.projectId, asked), id: set.id }
    const now = attachmentOf(world, set)
    const nameOf = (kind: 'network' | 'subnet' | 'port', nameOrId: string): string =>
      (isUuid(nameOrId) ? world[kind].get(nameOrId)?.name : undefined) ?? nameOrId
    const before = { ...now, row: set }
    const after = { ...attachmentAsked(asked, now, nameOf), row: draft }
    return { draft, changes: changesOfSet(before, after, world) }
  }

  return {
    compareSet,

    /** A set as it would be created; nothing is recorded. INVALID_INPUT, or NOT_FOUND for an image or a host. */
    draftSet: (project: ProjectId, asked: SetCreate, images: ImageResolver = deps.images): SetRow =>
      draftSet({ ...deps, images }, project, asked),

    /** Where these would be placed one after the other as things are; reserves nothing. */
    previewPlacement: (sets: readonly SetRow[]): PlacementPreview[] => previewPlacement(deps, sets),

    /**
     * Makes a set as asked, in place. Ends at once where no host has to hear of it. CHANGED_MEANWHILE unless it has the
     * generation of `ifMatch`; FIELD_IMMUTABLE; NOT_PLACED where its host has no room for more.
     */
    updateSet: async (
      caller: Caller,
      nameOrId: string,
      asked: SetCreate,
      { ifMatch }: { ifMatch: string | undefined },
    ): Promise<OperationRow> => {
      const set = findSet(projectOf(caller), nameOrId)
      if (asked.name !== set.name) throw notRenamed(set)
      const { draft, changes } = compareSet(set, asked)
      refuseRecreation(set, changes)
      const operation = newOperation(
        {
          projectId: set.projectId,
          kind: 'set.update',
          resource: { kind: 'set', id: set.id, name: set.name },
          generation: 0,
          progress: 'waits for its host',
          mayCancel: false,
        },
        deps,
      )
      const update = { set, draft, changes, operation, ifMatch }
      await withHostOf(set, (hostId) =>
        deps.recorder.write((tx, touched) =>
          recordUpdate(deps, { tx, touched, ...update, hostId }),
        ),
      )
      return world.operation.get(operation.id) ?? operation
    },
  }
}

/** The set is on this host by now, whose row is locked before those of sets. */
class MovedMeanwhile extends Error {
  readonly hostId: HostId
  constructor(hostId: HostId) {
    super(`the set is on host ${hostId} by now`)
    this.hostId = hostId
  }
}

const MOVES_MAX = 5

/** This process may not know yet where the set is: then once more, with the host that the record has. */
async function withHostOf(
  set: SetRow,
  write: (hostId: HostId | null) => Promise<void>,
): Promise<void> {
  let { hostId } = set
  for (let moves = 0; moves < MOVES_MAX; moves++) {
    try {
      return await write(hostId)
    } catch (error) {
      if (!(error instanceof MovedMeanwhile)) throw error
      ;({ hostId } = error)
    }
  }
  throw new PlatformError(
    'CHANGED_MEANWHILE',
    { set: set.name, next: 'try again' },
    { message: `Set ${set.name} changed its host again and again meanwhile.` },
  )
}

async function recordUpdate(
  deps: UpdateDeps,
  update: {
    tx: Tx
    touched: Touched
    set: SetRow
    /** Where the set is believed to be. */
    hostId: HostId | null
    draft: SetRow
    changes: readonly FieldChange[]
    operation: OperationRow
    ifMatch: string | undefined
  },
): Promise<void> {
  const { tx, touched, hostId, draft, changes, operation, ifMatch } = update
  const atMs = deps.clock.nowMs()
  // Hosts before sets, as placing does.
  const rooms = hostId === null ? undefined : await lockRooms(tx, [hostId])
  await holdImages(tx, [draft])
  const set = await lockSet(tx, update.set.id)
  if (set === undefined || set.wanted === 'removed') throw beingRemoved(update.set)
  requireGeneration(set, ifMatch)
  if (set.hostId !== null) {
    if (set.hostId !== hostId) throw new MovedMeanwhile(set.hostId)
    requireRoom(deps, { set, draft, room: rooms?.get(set.hostId) })
  }
  const isChange = changes.length > 0
  const generation = isChange
    ? await rewriteSet(tx, touched, { before: set, row: draft })
    : set.generation
  const isOver = !changes.some(reachesHost) || (set.hostId === null && set.wanted === 'stopped')
  if (!isOver) {
    const by = operation.kind
    await supersedeOperations(tx, touched, { resourceId: set.id, by, atMs })
  }
  await insertOperation(tx, touched, { ...operation, generation })
  if (!isOver) return
  const progress = isChange ? 'done' : 'nothing to change'
  await endOperation(tx, touched, { id: operation.id, state: 'done', reason: null, progress, atMs })
}

/** More than it has now must fit on its host; less always does. */
function requireRoom(
  { ledger }: UpdateDeps,
  change: {
    set: SetRow
    draft: SetRow
    room: HostRoom | undefined
  },
): void {
  const { set, draft, room } = change
  if (room === undefined) return
  if (draft.cpuMillis <= set.cpuMillis && draft.memoryBytes <= set.memoryBytes) return
  const why = rejection(
    // It is on its host already, whatever the rule says by now: only room counts.
    { ...askOf(draft), hostId: null, hostLabels: {} },
    {
      ...factsOf(room.host),
      roles: ['compute'],
      state: 'ready',
      cordoned: false,
      maintenance: false,
      allocated: {
        cpuMillis: room.taken.cpuMillis - set.cpuMillis,
        memoryBytes: room.taken.memoryBytes - set.memoryBytes,
      },
    },
    ledger.overcommit,
  )
  if (why === undefined) return
  throw new PlatformError(
    'NOT_PLACED',
    {
      set: set.name,
      host: room.host.name,
      next: 'ask for less, or remove and create it so that it may go elsewhere',
    },
    { message: `Host ${room.host.name} cannot give set ${set.name} so much: ${why}.` },
  )
}

function refuseRecreation(set: SetRow, changes: readonly FieldChange[]): void {
  const fixed = changes.filter(({ effect }) => effect === 'recreating' || effect === 'immutable')
  const [first] = fixed
  if (first === undefined) return
  throw new PlatformError(
    'FIELD_IMMUTABLE',
    {
      field: first.path,
      fields: fixed.map(({ path, before, after }) => ({ path, before, after })),
      set: set.name,
      next: `leave ${first.path} as it is, or remove the set and create it`,
    },
    { message: `${first.path} of set ${set.name} cannot be changed in place: ${first.why}.` },
  )
}

function requireGeneration(set: SetRow, ifMatch: string | undefined): void {
  const wanted = ifMatch?.replaceAll('"', '').trim()
  if (wanted === undefined || wanted === '*' || wanted === String(set.generation)) return
  throw new PlatformError(
    'CHANGED_MEANWHILE',
    { set: set.name, expected: wanted, found: set.generation, next: 'read it again' },
    { message: `Set ${set.name} changed meanwhile.` },
  )
}

function beingRemoved(set: SetRow): PlatformError {
  return new PlatformError(
    'NOT_ALLOWED_NOW',
    { set: set.name, next: 'wait until it is gone' },
    { message: `Set ${set.name} is being removed.` },
  )
}

function notRenamed(set: SetRow): PlatformError {
  return new PlatformError(
    'INVALID_INPUT',
    { field: 'name', next: `use the name ${set.name}` },
    { message: 'A set keeps its name.' },
  )
}
