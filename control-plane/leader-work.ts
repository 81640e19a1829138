import type { Clock, Random } from '@nubo/base'
import { startReconciler, type Database, type Log, type Reconciler } from '@nubo/runtime'
import {
  advanceApplies,
  isNewsForApplies,
  sweepApplied,
  type StepDeps,
} from './domains/apply/index.ts'
import { auditRetentionDefault, dropOldAudit, type AuditRetention } from './domains/audit/index.ts'
import {
  createPlacer,
  DRAIN_LIMITS_DEFAULT,
  drainKinds,
  drainHosts,
  evacuateFenced,
  isSettled,
  settleOperations,
  type DrainLimits,
} from './domains/compute/index.ts'
import type { Fleet } from './domains/fleet/index.ts'
import {
  createImageCollection,
  type ImageRegistry,
  type ImportLock,
} from './domains/images/index.ts'
import { expireOperations } from './domains/operations/index.ts'
import type { WorldLedger } from './domains/placement/index.ts'
import { recountQuotas } from './domains/quota/index.ts'
import {
  dropOldFeed,
  whileActing,
  type CatchUp,
  type Change,
  type Recorder,
  type Tables,
  type World,
} from './world/index.ts'

/** How often a leader's reconciler runs when nothing wakes it. */
const PLACE_PERIOD_MS = 2_000
const SETTLE_PERIOD_MS = 1_000
const EXPIRE_PERIOD_MS = 2_000
const RETENTION_PERIOD_MS = 60_000
const EVACUATE_PERIOD_MS = 5_000
const DRAIN_PERIOD_MS = 1_000
const COLLECT_PERIOD_MS = 600_000
const AUDIT_RETENTION_PERIOD_MS = 600_000
const RECOUNT_PERIOD_MS = 600_000
const APPLY_PERIOD_MS = 1_000
const SWEEP_PERIOD_MS = 10_000

export interface LeaderParts extends Omit<StepDeps, 'catchUp'> {
  readonly catchUp: CatchUp
  readonly deps: {
    readonly database: Database<Tables>
    readonly registry: ImageRegistry
    readonly importLock: ImportLock
    readonly auditRetention?: AuditRetention | undefined
    readonly drainLimits?: DrainLimits | undefined
  }
  readonly fleet: Fleet
  readonly recorder: Recorder
  readonly ledger: WorldLedger
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

type Reconcile = (name: string, periodMs: number, pass: () => Promise<boolean | void>) => Reconciler

/** What only one process of the region does: started when it comes to lead, stopped when it no longer does. */
export function createLeaderWork(parts: LeaderParts): () => { stop: () => Promise<void> } {
  const { deps, fleet, world, recorder, ledger, clock, random, log } = parts
  return () => {
    const liveness = fleet.newLivenessReconciler()
    const collection = createImageCollection({
      world,
      database: deps.database,
      registry: deps.registry,
      lock: deps.importLock,
      log,
    })
    const reconcile: Reconcile = (name, periodMs, pass) =>
      startReconciler({
        name,
        periodMs,
        clock,
        log,
        pass: () => whileActing({ by: 'system', actor: `system:${name}`, call: name }, pass),
      })
    const placer = createPlacer({ world, recorder, ledger, clock, random })
    const place = reconcile('place', PLACE_PERIOD_MS, () => placer.pass())
    const fence = fleet.newFenceReconciler({ liveness, onNews: () => fencing.wake() })
    const fencing = reconcile('fence', fence.periodMs, () => fence.pass())
    const evacuate = reconcile('evacuate', EVACUATE_PERIOD_MS, () =>
      evacuateFenced({ world, recorder, clock }),
    )
    const limits = deps.drainLimits ?? DRAIN_LIMITS_DEFAULT
    const drain = reconcile('drain', DRAIN_PERIOD_MS, () =>
      drainHosts({ world, recorder, clock, random, ledger, limits }),
    )
    const settle = reconcile('settle', SETTLE_PERIOD_MS, () =>
      settleOperations({ world, recorder, clock }),
    )
    const apply = reconcile('apply', APPLY_PERIOD_MS, () =>
      advanceApplies({
        ...parts,
        catchUp: () => parts.catchUp(world.revision),
        database: deps.database,
      }),
    )
    const all = [
      place,
      settle,
      fencing,
      evacuate,
      drain,
      apply,
      reconcile('sweep-applied', SWEEP_PERIOD_MS, () => sweepApplied({ world, recorder })),
      reconcile('expire', EXPIRE_PERIOD_MS, () => expireOperations({ world, recorder, clock })),
      reconcile('liveness', liveness.periodMs, () => liveness.pass()),
      ...housekeeping(parts, reconcile),
      reconcile('collect', COLLECT_PERIOD_MS, () => collection.pass()),
    ]
    const unsubscribe = world.subscribe(({ changes }) => {
      const ofPlaces = changes.some(isOfPlaces)
      if (ofPlaces) place.wake()
      if (ofPlaces && world.host.by('lost', 'yes').length > 0) {
        if (changes.some(({ kind }) => kind === 'host')) fencing.wake()
        evacuate.wake()
      }
      if (changes.some((change) => isNewsForDrains(world, change))) drain.wake()
      if (changes.some((change) => isNewsForSettling(world, change))) settle.wake()
      if (changes.some((change) => isNewsForApplies(world, change))) apply.wake()
    })
    return {
      stop: async () => {
        unsubscribe()
        collection.stop()
        await Promise.all(all.map((reconciler) => reconciler.stop()))
        placer.stop()
      },
    }
  }
}

function isOfPlaces({ kind }: Pick<Change, 'kind'>): boolean {
  return kind === 'set' || kind === 'vm' || kind === 'host'
}

/** While there are drains, whatever frees or takes room; and a drain begins with its host. */
function isNewsForDrains(world: World, { kind }: Change): boolean {
  return isOfPlaces({ kind }) && drainKinds.some((one) => world.operation.countBy('open', one) > 0)
}

function isNewsForSettling(world: World, { kind, id }: Change): boolean {
  return kind === 'operation' && isSettled(world, world.operation.get(id))
}

/** What keeps tables small and counters right. */
function housekeeping(parts: LeaderParts, reconcile: Reconcile): Reconciler[] {
  const { deps, recorder, clock, log } = parts
  const { database, auditRetention: retention = auditRetentionDefault } = deps
  return [
    reconcile('retention', RETENTION_PERIOD_MS, () => dropOldFeed({ database, clock })),
    reconcile('audit-retention', AUDIT_RETENTION_PERIOD_MS, () =>
      dropOldAudit({ database, clock, retention }),
    ),
    reconcile('recount', RECOUNT_PERIOD_MS, () => recountQuotas({ database, recorder, log })),
  ]
}
