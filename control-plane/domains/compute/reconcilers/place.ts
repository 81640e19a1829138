import { sleep, type Clock, type HostId, type Random } from '@nubo/base'
import {
  instanceOf,
  instancesBy,
  kindOf,
  type InstanceRow,
  type Placement,
  type Recorder,
  type Touched,
  type Tx,
  type World,
} from '../../../world/index.ts'
import { failOperationsOf, progressOperationsOf } from '../../operations/index.ts'
import {
  askOf,
  Chooser,
  factsOf,
  notPlacedText,
  outlineOfReasons,
  rejection,
  takenBy,
  type RejectionSummary,
  type WorldLedger,
} from '../../placement/index.ts'
import {
  beginPlacementTerm,
  holdPlacementTerm,
  lockRooms,
  recordNotPlaced,
  recordPlaced,
  type HostRoom,
} from '../placing-store.ts'

/** Sets of one commit: enough that its cost is shared, few enough that others get their turn at the revision. */
const BATCH_MAX = 256
/** After so many commits a pass looks anew at what waits, as something of a higher priority may have come. */
const BATCHES_PER_PASS_MAX = 8
/** So many decisions without a commit are made in one go. */
const DECISIONS_MAX = 1_024

export interface PlaceDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly ledger: WorldLedger
}

export interface Placer {
  /** Returns true when more may wait. */
  pass(): Promise<boolean>
  stop(): void
}

type Decision =
  | { readonly set: InstanceRow; readonly hostId: HostId; readonly placement: Placement }
  | { readonly set: InstanceRow; readonly hostId: null; readonly placement: Placement }

/**
 * Places every set that waits for a host, in order of priority and age, and says of the others why they wait. Sets that
 * fit nowhere do not hold up those behind them. Runs on the leader only. Where leadership has just changed hands, the term
 * decides: a batch is recorded only by the process that began the last one, and it began with all that others recorded.
 */
export function createPlacer(deps: PlaceDeps): Placer {
  const { world, clock, recorder, random, ledger } = deps
  const chooser = new Chooser(ledger, random)
  let term: number | undefined

  async function begin(): Promise<number> {
    const begun = await recorder.write((tx) => beginPlacementTerm(tx))
    await world.reached(begun.revision)
    return begun.term
  }

  const release = (decisions: readonly Decision[]): void => {
    for (const { set, hostId } of decisions) if (hostId !== null) ledger.sync(set.id)
  }

  async function recordBatch(decisions: readonly Decision[]): Promise<void> {
    try {
      const isRecorded = await recorder.write((tx, touched) =>
        recordAll(deps, { tx, touched, term: term ?? 0, decisions }),
      )
      if (!isRecorded) term = undefined
    } finally {
      // What was not recorded, for whatever reason, does not hold its room.
      release(decisions)
    }
  }

  /** Decides while the batch before is being recorded; returns whether some were left for the next pass. */
  async function placeAll(waiting: readonly InstanceRow[]): Promise<boolean> {
    let batch: Decision[] = []
    let recording = Promise.resolve()
    let batches = 0
    try {
      for (const [at, set] of waiting.entries()) {
        if (instanceOf(world, set.id) === set) {
          const decision = decide(deps, chooser, set)
          if (isNews(world, decision)) batch.push(decision)
        }
        const isLast = at === waiting.length - 1
        if (batch.length >= BATCH_MAX || (isLast && batch.length > 0)) {
          await recording
          if (term === undefined) return false
          recording = recordBatch(batch)
          // It is awaited below; until then nobody else may call it unhandled.
          recording.catch(() => undefined)
          batch = []
          batches += 1
          if (batches >= BATCHES_PER_PASS_MAX) return !isLast
        } else if ((at + 1) % DECISIONS_MAX === 0) await sleep(clock, 0)
      }
      return false
    } finally {
      release(batch)
      await recording
    }
  }

  return {
    pass: async () => {
      if (waitingCount(world) === 0) return false
      term ??= await begin()
      const hasMore = await placeAll(waitingSets(world))
      return hasMore && term !== undefined
    },
    stop: () => chooser.stop(),
  }
}

export interface PlacementPreview {
  readonly hostId: HostId | null
  readonly placement: Placement
}

/** The choices that a pass would make for these sets, each after the one before; nothing is recorded. */
export function previewPlacement(
  deps: Pick<PlaceDeps, 'ledger' | 'clock' | 'random'>,
  sets: readonly InstanceRow[],
): PlacementPreview[] {
  const { ledger, random } = deps
  const chooser = new Chooser(ledger, random)
  try {
    return sets.map((set) => decide(deps, chooser, set))
  } finally {
    chooser.stop()
    for (const set of sets) ledger.sync(set.id)
  }
}

/**
 * Whether sets that are somewhere would find a place elsewhere, each after the one before. What is held in reserve does
 * not count: it is for sets whose host was lost, not for one that is emptied. Nothing is recorded.
 */
export function previewMoves(
  deps: Pick<PlaceDeps, 'ledger' | 'clock' | 'random'>,
  sets: readonly InstanceRow[],
): (PlacementPreview & { readonly set: InstanceRow })[] {
  const { ledger, random } = deps
  const chooser = new Chooser(ledger, random)
  // Not what the world says: the placer takes room before the world knows.
  const before = sets.map(({ id }) => ({ id, placed: ledger.placed(id) }))
  try {
    return sets.flatMap((set) => {
      if (set.hostId === null && ledger.placed(set.id) !== undefined) return []
      ledger.removeSet(set.id)
      return decide(deps, chooser, { ...set, hostId: null, epoch: 0 })
    })
  } finally {
    chooser.stop()
    for (const { id, placed } of before) {
      // With what is held for it; then as it was, since the placer takes room before the world knows.
      ledger.sync(id)
      ledger.removeSet(id)
      if (placed !== undefined) ledger.putSet(placed)
    }
  }
}

/** The highest priority first; of one priority those that lost their host, then the oldest. */
export function waitingSets(world: World): InstanceRow[] {
  return instancesBy(world, 'unplaced', 'yes')
    .filter((set) => set.wanted !== 'removed')
    .toSorted(
      (a, b) =>
        b.priority - a.priority ||
        Number(b.epoch > 0) - Number(a.epoch > 0) ||
        (a.id < b.id ? -1 : 1),
    )
}

function waitingCount(world: World): number {
  return world.set.countBy('unplaced', 'yes') + world.vm.countBy('unplaced', 'yes')
}

/** Takes the room in the ledger, so that the next decision knows. */
function decide(
  { ledger, clock }: Pick<PlaceDeps, 'ledger' | 'clock'>,
  chooser: Chooser,
  set: InstanceRow,
): Decision {
  ledger.letGo(set.id)
  const choice = chooser.choose(askOf(set))
  const { rejected, counts } = choice
  if (!choice.found) return { set, hostId: null, placement: placementOfNone(choice) }
  const hostId = choice.host.id
  ledger.putSet({ ...takenBy(set), hostId })
  const decidedAtMs = clock.nowMs()
  const placement = { score: choice.score, decidedAtMs, reason: null, rejected, counts }
  return { set, hostId, placement }
}

/** One for all sets that the same answer is given to: thousands may wait, and be asked about at every change. */
const placementsOfNone = new WeakMap<RejectionSummary['rejected'], Placement>()

function placementOfNone(summary: RejectionSummary): Placement {
  const { rejected, counts } = summary
  const known = placementsOfNone.get(rejected)
  if (known !== undefined) return known
  const reason = { code: 'NOT_PLACED', text: notPlacedText(summary) }
  const placement = { score: 0, decidedAtMs: null, reason, rejected, counts }
  placementsOfNone.set(rejected, placement)
  return placement
}

/** A set that waits for the same reason as before writes nothing, unless somebody asked since and waits for an answer. */
function isNews(world: World, { set, hostId, placement }: Decision): boolean {
  return (
    hostId !== null ||
    outlineOf(set.placement) !== outlineOf(placement) ||
    world.operation.by('resource', set.id).some((operation) => operation.endedAtMs === null)
  )
}

const outlines = new WeakMap<Placement, string>()

function outlineOf(placement: Placement | null): string | undefined {
  if (placement === null || placement.reason === null) return undefined
  const { rejected, counts = [] } = placement
  const outline = outlines.get(placement) ?? outlineOfReasons({ rejected, counts })
  outlines.set(placement, outline)
  return outline
}

/** Returns whether the term still lasts; nothing is recorded if not. */
async function recordAll(
  { world, clock, ledger }: PlaceDeps,
  batch: { tx: Tx; touched: Touched; term: number; decisions: readonly Decision[] },
): Promise<boolean> {
  const { tx, touched, decisions } = batch
  if (!(await holdPlacementTerm(tx, batch.term))) return false
  const placed = decisions.flatMap(({ set, hostId, placement }) =>
    hostId === null ? [] : [{ set, ...refOf(set), hostId, placement }],
  )
  const waiting = decisions.flatMap(({ set, hostId, placement }) =>
    hostId === null ? [{ ...refOf(set), placement }] : [],
  )
  const rooms = await lockRooms(
    tx,
    placed.map(({ hostId }) => hostId),
  )
  // Where the host was cordoned, went or was filled meanwhile, or something else is asked of the set, it waits for the
  // next pass, which knows more.
  const fitting = placed.filter(({ set, hostId }) => takeRoom(rooms.get(hostId), set, ledger))
  const ids = await recordPlaced(tx, touched, fitting)
  const told = await recordNotPlaced(tx, touched, waiting)
  const atMs = clock.nowMs()
  const progress = fitting
    .filter(({ id }) => ids.has(id))
    .map(({ id, hostId }) => ({
      resourceId: id,
      progress: `placed on ${world.host.get(hostId)?.name ?? hostId}`,
    }))
  await progressOperationsOf(tx, touched, { changes: progress, atMs })
  const failed = waiting
    .filter(({ id }) => told.has(id))
    .map(({ id, placement }) => ({
      resourceId: id,
      reason: {
        code: 'NOT_PLACED',
        text: `${placement.reason?.text ?? ''}; it is placed as soon as a host has room`,
      },
    }))
  await failOperationsOf(tx, touched, { changes: failed, progress: 'not placed', atMs })
  return true
}

function refOf(row: InstanceRow) {
  return { id: row.id, kind: kindOf(row), generation: row.generation }
}

function takeRoom(
  room: HostRoom | undefined,
  set: InstanceRow,
  { overcommit }: WorldLedger,
): boolean {
  if (room === undefined) return false
  const host = { ...factsOf(room.host), allocated: room.taken }
  if (rejection(askOf(set), host, overcommit) !== undefined) return false
  room.taken.cpuMillis += set.cpuMillis
  room.taken.memoryBytes += set.memoryBytes
  return true
}
