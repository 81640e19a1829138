import { isPlatformError, PlatformError, type Clock } from '@nubo/base'
import { Batcher } from '@nubo/runtime'
import {
  actNow,
  kindOf,
  whileActing,
  type Act,
  type InstanceRow,
  type OperationRow,
  type PortRow,
  type Recorder,
  type Touched,
  type Tx,
} from '../../world/index.ts'
import { bindPort, insertPorts, type PortAsked } from '../network/index.ts'
import { endOperation, insertOperations, supersedeOperationsOf } from '../operations/index.ts'
import { removeRows } from './removal.ts'
import { changeWanted, holdImages, insertInstances } from './wanted-store.ts'

export interface Creation {
  readonly kind: 'create'
  readonly row: InstanceRow
  readonly operation: OperationRow
  /** A port that is free, or one that is made for it. */
  readonly port: PortRow | PortAsked
}

export interface WantedWrite {
  readonly kind: 'change'
  readonly instance: InstanceRow
  readonly wanted: InstanceRow['wanted']
  readonly restart: boolean
  /** Its generation is that which the change makes. */
  readonly operation: OperationRow
}

export type InstanceWrite = Creation | WantedWrite

interface Asked {
  readonly write: InstanceWrite
  /** Whose it is: a commit has many of them. */
  readonly act: Act | undefined
}

/** Of one transaction. Locks are held for as long as it lasts, and callers wait for it. */
const WRITES_PER_COMMIT_MAX = 64
/** The answer to a call waits at most so much longer, and only where others came at the same time. */
const PAUSE = { perItemMs: 10, mostMs: 50 }

/**
 * Records what callers ask of sets and VMs. What comes while others are being recorded goes together in one transaction, of a few
 * statements for any number; each is audited as its caller's. One that is refused fails alone. See docs/decisions/0016.
 */
export function createInstanceWriter(deps: {
  recorder: Recorder
  clock: Clock
}): (write: InstanceWrite) => Promise<void> {
  const batcher = new Batcher<Asked>({
    itemsMax: WRITES_PER_COMMIT_MAX,
    // For nobody in particular: each write names its own.
    run: (asked) => whileActing(undefined, () => recordWrites(deps, asked)),
    // Without its database each would fail in the same way, one after the other.
    isWorthSplitting: (error) => !isPlatformError(error) || error.kind !== 'unavailable',
    // One change of an instance in a commit, so that each is told as it was.
    keyOf: ({ write }) => {
      const { projectId, name } = write.kind === 'create' ? write.row : write.instance
      return `${projectId}/${name}`
    },
    pause: { clock: deps.clock, ...PAUSE },
  })
  return (write) => batcher.add({ write, act: actNow() })
}

type Of<Kind extends InstanceWrite['kind']> = Extract<InstanceWrite, { kind: Kind }> & {
  touched: Touched
}

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

/** The instance, its port, its operation. The world places it next. */
async function recordCreations(
  tx: Tx,
  creations: readonly Of<'create'>[],
  nowMs: number,
): Promise<void> {
  if (creations.length === 0) return
  await insertInstances(tx, creations)
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
    else
      await bindPort(tx, touched, {
        port,
        to: 'containers' in row ? { setId: row.id } : { vmId: row.id },
      })
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
    changes.map(({ instance, wanted, restart }) => ({
      id: instance.id,
      kind: kindOf(instance),
      wanted,
      restart,
    })),
  )
  const changed = changes.map((change) => {
    const now = rows.get(change.instance.id)
    if (now === undefined) throw isBeingRemoved(change.instance)
    change.touched.touch(kindOf(change.instance), change.instance.id)
    return { ...change, now }
  })
  await supersedeOperationsOf(
    tx,
    changed.map(({ touched, instance, operation }) => ({
      touched,
      resourceId: instance.id,
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
  for (const { touched, instance, wanted, operation, now } of changed) {
    // Nothing was started anywhere, so there is nothing to wait for.
    if (now.hostId !== null || wanted === 'running') continue
    if (wanted === 'removed') {
      const ref = { id: instance.id, kind: kindOf(instance) }
      await removeRows(tx, touched, { refs: [ref], nowMs })
    }
    await endOperation(tx, touched, {
      id: operation.id,
      state: 'done',
      reason: null,
      progress: 'done',
      atMs: nowMs,
    })
  }
}

function isBeingRemoved(row: InstanceRow): PlatformError {
  const kind = kindOf(row)
  return new PlatformError(
    'NOT_ALLOWED_NOW',
    { [kind]: row.name, next: 'wait until it is gone' },
    { message: `${kind === 'set' ? 'Set' : 'VM'} ${row.name} is being removed.` },
  )
}
