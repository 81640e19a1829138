import { isPlatformError, PlatformError, type Clock } from '@nubo/base'
import { Batcher } from '@nubo/runtime'
import {
  actNow,
  whileActing,
  type Act,
  type OperationRow,
  type PortRow,
  type Recorder,
  type SetRow,
  type Touched,
  type Tx,
} from '../../world/index.ts'
import { bindPort, insertPorts, type PortAsked } from '../network/index.ts'
import { endOperation, insertOperations, supersedeOperationsOf } from '../operations/index.ts'
import { removeSetRows } from './removal.ts'
import { changeWanted, holdImages, insertSets } from './wanted-store.ts'

export interface SetCreation {
  readonly kind: 'create'
  readonly row: SetRow
  readonly operation: OperationRow
  /** A port that is free, or one that is made for it. */
  readonly port: PortRow | PortAsked
}

export interface SetChange {
  readonly kind: 'change'
  readonly set: SetRow
  readonly wanted: SetRow['wanted']
  readonly restart: boolean
  /** Its generation is that which the change makes. */
  readonly operation: OperationRow
}

export type SetWrite = SetCreation | SetChange

interface Asked {
  readonly write: SetWrite
  /** Whose it is: a commit has many of them. */
  readonly act: Act | undefined
}

/** Of one transaction. Locks are held for as long as it lasts, and callers wait for it. */
const WRITES_PER_COMMIT_MAX = 64
/** The answer to a call waits at most so much longer, and only where others came at the same time. */
const PAUSE = { perItemMs: 10, mostMs: 50 }

/**
 * Records what callers ask of sets. What comes while others are being recorded goes together in one transaction, of a few
 * statements for any number; each is audited as its caller's. One that is refused fails alone. See docs/decisions/0016.
 */
export function createSetWriter(deps: {
  recorder: Recorder
  clock: Clock
}): (write: SetWrite) => Promise<void> {
  const batcher = new Batcher<Asked>({
    itemsMax: WRITES_PER_COMMIT_MAX,
    // For nobody in particular: each write names its own.
    run: (asked) => whileActing(undefined, () => recordWrites(deps, asked)),
    // Without its database each would fail in the same way, one after the other.
    isWorthSplitting: (error) => !isPlatformError(error) || error.kind !== 'unavailable',
    // One change of a set in a commit, so that each is told as it was.
    keyOf: ({ write }) => {
      const { projectId, name } = write.kind === 'create' ? write.row : write.set
      return `${projectId}/${name}`
    },
    pause: { clock: deps.clock, ...PAUSE },
  })
  return (write) => batcher.add({ write, act: actNow() })
}

type Of<Kind extends SetWrite['kind']> = Extract<SetWrite, { kind: Kind }> & { touched: Touched }

async function recordWrites(
  { recorder, clock }: { recorder: Recorder; clock: Clock },
  asked: readonly Asked[],
): Promise<void> {
  await recorder.write(async (tx, touched) => {
    const creations: Of<'create'>[] = []
    const changes: Of<'change'>[] = []
    for (const { write, act } of asked) {
      if (write.kind === 'create') creations.push({ ...write, touched: touched.as(act) })
      else changes.push({ ...write, touched: touched.as(act) })
    }
    const nowMs = clock.nowMs()
    await recordChanges(tx, changes, nowMs)
    await recordCreations(tx, creations, nowMs)
  })
}

/** The set, its port, its operation. The world places it next. */
async function recordCreations(
  tx: Tx,
  creations: readonly Of<'create'>[],
  nowMs: number,
): Promise<void> {
  if (creations.length === 0) return
  await insertSets(tx, creations)
  await insertOperations(
    tx,
    creations.map(({ touched, operation }) => ({ touched, row: operation })),
  )
  await holdImages(
    tx,
    creations.map(({ row }) => row),
  )
  const made: { touched: Touched; asked: PortAsked }[] = []
  for (const { touched, port, row } of creations) {
    if ('port' in port) made.push({ touched, asked: port })
    else await bindPort(tx, touched, { port, to: { setId: row.id } })
  }
  // Last: new ports keep their subnets to themselves until the end.
  await insertPorts(tx, made, nowMs)
}

async function recordChanges(
  tx: Tx,
  changes: readonly Of<'change'>[],
  nowMs: number,
): Promise<void> {
  if (changes.length === 0) return
  const rows = await changeWanted(
    tx,
    changes.map(({ set, wanted, restart }) => ({ id: set.id, wanted, restart })),
  )
  const changed = changes.map((change) => {
    const now = rows.get(change.set.id)
    if (now === undefined) throw isBeingRemoved(change.set)
    change.touched.touch('set', change.set.id)
    return { ...change, now }
  })
  await supersedeOperationsOf(
    tx,
    changed.map(({ touched, set, operation }) => ({
      touched,
      resourceId: set.id,
      by: operation.kind,
    })),
    nowMs,
  )
  await insertOperations(
    tx,
    changed.map(({ touched, operation, now }) => ({
      touched,
      row: { ...operation, generation: now.generation },
    })),
  )
  for (const { touched, set, wanted, operation, now } of changed) {
    // Nothing was started anywhere, so there is nothing to wait for.
    if (now.hostId !== null || wanted === 'running') continue
    if (wanted === 'removed') await removeSetRows(tx, touched, { setIds: [set.id], nowMs })
    await endOperation(tx, touched, {
      id: operation.id,
      state: 'done',
      reason: null,
      progress: 'done',
      atMs: nowMs,
    })
  }
}

function isBeingRemoved(set: SetRow): PlatformError {
  return new PlatformError(
    'NOT_ALLOWED_NOW',
    { set: set.name, next: 'wait until it is gone' },
    { message: `Set ${set.name} is being removed.` },
  )
}
