import { isPlatformError, type Clock, type Random } from '@nubo/base'
import { api, type Route } from '@nubo/contracts'
import {
  startReconciler,
  type Database,
  type Log,
  type ProcessStatus,
  type Reconciler,
} from '@nubo/runtime'
import {
  auditBindings,
  auditRetentionDefault,
  createAuditService,
  dropOldAudit,
  type AuditRetention,
  type AuditService,
  type Refusal,
} from './domains/audit/index.ts'
import {
  advanceApplies,
  isNewsForApplies,
  applyBindings,
  createApplyService,
  sweepApplied,
  type StepDeps,
} from './domains/apply/index.ts'
import {
  computeBindings,
  createComputeService,
  createFoundRecorder,
  createPlacer,
  evacuateFenced,
  isSettled,
  releaseFrom,
  settleSetOperations,
} from './domains/compute/index.ts'
import {
  BRAKE_LIMITS_DEFAULT,
  createFleet,
  noPowerControl,
  type BrakeLimits,
  type CertificateAuthority,
  type Fleet,
  type NeighbourProbes,
  type PowerControl,
} from './domains/fleet/index.ts'
import {
  createIdentityService,
  identityBindings,
  route,
  type Caller,
  type CallerBinding,
  type IdentityService,
} from './domains/identity/index.ts'
import {
  createImageCollection,
  createImageService,
  imageBindings,
  type ImageRegistry,
  type ImportLock,
  type RegistryTokens,
} from './domains/images/index.ts'
import { createNetworkService, networkBindings } from './domains/network/index.ts'
import {
  createOperationService,
  expireOperations,
  operationBindings,
} from './domains/operations/index.ts'
import { createQuotaService, quotaBindings, recountQuotas } from './domains/quota/index.ts'
import { WorldLedger, type Overcommit } from './domains/placement/index.ts'
import { createHostSessions, type HostCommands, type HostSessions } from './host-sessions/index.ts'
import { contendForLeadership } from './leader.ts'
import { createWatches } from './watch.ts'
import { serverStatusBinding } from './server-status.ts'
import {
  createCatchUp,
  createRecorder,
  dropOldFeed,
  FeedReader,
  whileActing,
  World,
  type CatchUp,
  type QuotaLimits,
  type Tables,
} from './world/index.ts'

export interface RegionDeps {
  readonly database: Database<Tables>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly about: { readonly region: string; readonly serverName: string; readonly version: string }
  /** Where hosts dial this server, and all servers of the region, 'address:port'. */
  readonly hostContract: { readonly address: string; readonly servers: readonly string[] }
  readonly hostCommands: HostCommands
  /** With it hosts prove to each other that they are of this region. Null: they look for nobody. */
  readonly probeKey: string | null
  readonly certificates: CertificateAuthority
  readonly registry: ImageRegistry
  readonly registryTokens: RegistryTokens
  readonly importLock: ImportLock
  readonly uploadFolder: string
  readonly overcommit: Overcommit
  /** Of projects for which nothing else was set; none if absent. */
  readonly quotaDefaults?: QuotaLimits | undefined
  readonly auditRetention?: AuditRetention | undefined
  /** Management controllers of hosts; without it fencing goes by leases and by operators. */
  readonly power?: PowerControl
  readonly brakeLimits?: BrakeLimits
  /** What this process knows of itself. */
  readonly processStatus: () => ProcessStatus
  /** So many hosts of a zone may be lost at once and the others have room for their `elsewhere` sets. */
  readonly reserveHosts: number
}

/** One server process of the control plane, without its listeners: main.ts adds these, tests and the simulator others. */
export interface Region {
  readonly world: World
  readonly bindings: readonly CallerBinding[]
  readonly authorize: (call: {
    route: Route
    token: string | undefined
    query: unknown
    params: unknown
  }) => Promise<Caller>
  /** Hears of calls that were refused, for the audit. */
  readonly onRefused: (refusal: Refusal) => void
  readonly fleet: Fleet
  readonly sessions: HostSessions
  readonly images: ReturnType<typeof createImageService>
  isLeading(): boolean
  /** The world is complete and reconcilers contend when this resolves. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** How often a leader's reconciler runs when nothing wakes it. */
const PLACE_PERIOD_MS = 2_000
const SETTLE_PERIOD_MS = 1_000
const EXPIRE_PERIOD_MS = 2_000
const RETENTION_PERIOD_MS = 60_000
const EVACUATE_PERIOD_MS = 5_000
const COLLECT_PERIOD_MS = 600_000
const AUDIT_RETENTION_PERIOD_MS = 600_000
const RECOUNT_PERIOD_MS = 600_000
const APPLY_PERIOD_MS = 1_000
const SWEEP_PERIOD_MS = 10_000

export function createRegion(deps: RegionDeps): Region {
  const { database, clock, random, log, quotaDefaults = {} } = deps
  const world = new World(clock)
  const feed = new FeedReader({ database, world, clock, log })
  const recorder = createRecorder({ database, clock, world, feed, random, quotaDefaults })
  const ledger = new WorldLedger(world, deps)
  const shared = { world, recorder, database, clock, random, log, ledger }

  const identity = createIdentityService(shared)
  const audit = createAuditService({ ...shared, whoTried: identity.whoTried })
  const quota = createQuotaService({ ...shared, quotaDefaults })
  const operations = createOperationService(shared)
  const network = createNetworkService(shared)
  const images = createImageService({
    ...shared,
    registry: deps.registry,
    tokens: deps.registryTokens,
    lock: deps.importLock,
    folder: deps.uploadFolder,
  })
  const fleet = createFleet({
    ...shared,
    certificates: deps.certificates,
    region: deps.about.region,
    hostContractServers: deps.hostContract.servers,
    ...fencingOf(deps, () => sessions),
  })
  const sessions: HostSessions = createHostSessions({
    ...shared,
    presence: fleet.presence,
    membership: fleet.membership,
    events: { recordFound: createFoundRecorder(shared) },
    commands: deps.hostCommands,
    server: {
      name: deps.about.serverName,
      region: deps.about.region,
      hostContractServers: deps.hostContract.servers,
      hostContractAddress: deps.hostContract.address,
      registry: deps.registry.address,
      probeKey: deps.probeKey,
    },
  })
  const compute = createComputeService({
    ...shared,
    network,
    images,
    streams: {
      open: ({ caller, hostId, request }) =>
        sessions.streams.open({
          tokenId: caller.tokenId,
          hostId,
          request,
          isStillAllowed: () =>
            identity.isStillAllowed(caller, request.type === 'exec' ? 'member' : 'viewer'),
        }),
    },
  })
  const catchUp = createCatchUp(shared)
  const leader = createLeaderWork({ ...shared, deps, fleet, network, images, compute, catchUp })
  let contention: ReturnType<typeof contendForLeadership> | undefined
  const isLeading = (): boolean => contention?.isLeading() === true

  return {
    world,
    bindings: [
      ...identityBindings({ identity, world, about: deps.about }),
      ...auditBindings({ audit }),
      ...quotaBindings({ quota }),
      ...operationBindings({ operations, world }),
      ...fleet.bindings,
      ...imageBindings({ images, world }),
      ...networkBindings({ network, world }),
      ...computeBindings({ compute, world }),
      ...applyBindings({ applies: createApplyService({ ...shared, compute, images, catchUp }) }),
      watchBinding(shared, identity),
      serverStatusBinding({ ...deps, world, sessions, isLeading }),
    ].map((binding) => handled(binding, { audit, world, catchUp })),
    authorize: (call) => lookTwice(world, catchUp, () => identity.authorize(call)),
    onRefused: audit.refused,
    fleet,
    sessions,
    images,
    isLeading,
    start: async () => {
      await feed.start()
      audit.start()
      fleet.presence.start()
      await sessions.start()
      contention = contendForLeadership({ database, clock, log, lead: leader })
    },
    stop: async () => {
      await contention?.stop()
      await sessions.stop()
      await audit.stop()
      await fleet.presence.stop()
      await feed.stop()
    },
  }
}

/** A call with an audit row for what it changes, and a second look where it finds nothing. */
function handled(
  binding: CallerBinding,
  deps: { audit: AuditService; world: World; catchUp: CatchUp },
): CallerBinding {
  const { audit, world, catchUp } = deps
  return {
    ...binding,
    handle: (input) =>
      audit.during(binding.route, input, () =>
        // An upload can be read only once.
        binding.route.form === 'upload'
          ? binding.handle(input)
          : lookTwice(world, catchUp, () => binding.handle(input)),
      ),
  }
}

/** How lost hosts are fenced. `sessions` are made after the fleet, which they need. */
function fencingOf({ power, brakeLimits }: RegionDeps, sessions: () => HostSessions) {
  const probes: NeighbourProbes = { probe: (...asked) => sessions().probe(...asked) }
  return {
    probes,
    evacuation: { release: releaseFrom },
    power: power ?? noPowerControl,
    brakeLimits: brakeLimits ?? BRAKE_LIMITS_DEFAULT,
  }
}

/**
 * What another server made a moment ago may not be known here yet, and its caller may come here with it. So what looks
 * absent is looked for again once this process has caught up with the record. Safe to run twice: a call that throws
 * these has written nothing.
 */
async function lookTwice<Value>(
  world: World,
  catchUp: CatchUp,
  look: () => Promise<Value>,
): Promise<Value> {
  const seenRevision = world.revision
  try {
    return await look()
  } catch (error) {
    const mayBeNews =
      isPlatformError(error, 'NOT_FOUND') || isPlatformError(error, 'UNAUTHENTICATED')
    if (!mayBeNews || !(await catchUp(seenRevision))) throw error
    return look()
  }
}

function watchBinding(
  { world, clock }: { world: World; clock: Clock },
  identity: Pick<IdentityService, 'isStillAllowed'>,
): CallerBinding {
  const watches = createWatches({ world, clock })
  return route(api.watch, async ({ caller, query, signal }) =>
    watches.watch({
      caller,
      asked: {
        from: query.from,
        kinds: query.kind === undefined ? undefined : [query.kind].flat(),
        id: query.id,
      },
      signal,
      isStillAllowed: () => identity.isStillAllowed(caller),
    }),
  )
}

/** What only one process of the region does: started when it comes to lead, stopped when it no longer does. */
function createLeaderWork(
  parts: Omit<StepDeps, 'catchUp'> & {
    catchUp: CatchUp
    deps: RegionDeps
    fleet: Fleet
    recorder: ReturnType<typeof createRecorder>
    ledger: WorldLedger
    clock: Clock
    random: Random
    log: Log
  },
): () => { stop: () => Promise<void> } {
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
    const reconcile = (
      name: string,
      periodMs: number,
      pass: () => Promise<boolean | void>,
    ): Reconciler =>
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
    const settle = reconcile('settle', SETTLE_PERIOD_MS, () =>
      settleSetOperations({ world, recorder, clock }),
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
      apply,
      reconcile('sweep-applied', SWEEP_PERIOD_MS, () => sweepApplied({ world, recorder })),
      reconcile('expire', EXPIRE_PERIOD_MS, () => expireOperations({ world, recorder, clock })),
      reconcile('liveness', liveness.periodMs, () => liveness.pass()),
      reconcile('retention', RETENTION_PERIOD_MS, () =>
        dropOldFeed({ database: deps.database, clock }),
      ),
      reconcile('audit-retention', AUDIT_RETENTION_PERIOD_MS, () =>
        dropOldAudit({
          database: deps.database,
          clock,
          retention: deps.auditRetention ?? auditRetentionDefault,
        }),
      ),
      reconcile('recount', RECOUNT_PERIOD_MS, () =>
        recountQuotas({ database: deps.database, recorder, log }),
      ),
      reconcile('collect', COLLECT_PERIOD_MS, () => collection.pass()),
    ]
    const unsubscribe = world.subscribe(({ changes }) => {
      if (changes.some(({ kind }) => kind === 'set' || kind === 'host')) place.wake()
      if (world.host.by('lost', 'yes').length > 0) {
        if (changes.some(({ kind }) => kind === 'host')) fencing.wake()
        if (changes.some(({ kind }) => kind === 'set' || kind === 'host')) evacuate.wake()
      }
      if (
        changes.some(
          ({ kind, id }) => kind === 'operation' && isSettled(world, world.operation.get(id)),
        )
      )
        settle.wake()
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
