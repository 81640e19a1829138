import { isPlatformError, type Clock, type Random } from '@nubo/base'
import { api, type Route } from '@nubo/contracts'
import type { Database, Log, ProcessStatus } from '@nubo/runtime'
import {
  auditBindings,
  createAuditService,
  type AuditRetention,
  type AuditService,
  type HostRefusal,
  type Refusal,
} from './domains/audit/index.ts'
import { applyBindings, createApplyService } from './domains/apply/index.ts'
import {
  computeBindings,
  createComputeService,
  createHostDrains,
  createFoundRecorder,
  releaseFrom,
  type DrainLimits,
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
  createImageService,
  imageBindings,
  type ImageRegistry,
  type ImportLock,
  type RegistryTokens,
} from './domains/images/index.ts'
import { createNetworkService, networkBindings } from './domains/network/index.ts'
import { createOperationService, operationBindings } from './domains/operations/index.ts'
import { createQuotaService, quotaBindings } from './domains/quota/index.ts'
import { WorldLedger, type Overcommit } from './domains/placement/index.ts'
import { createHostSessions, type HostCommands, type HostSessions } from './host-sessions/index.ts'
import type { HostCalls } from './adapters/host-listener-calls.ts'
import { createHostCalls } from './host-calls.ts'
import { contendForLeadership } from './leader.ts'
import { createLeaderWork } from './leader-work.ts'
import { createWatches } from './watch.ts'
import { serverStatusBinding } from './server-status.ts'
import {
  createCatchUp,
  createRecorder,
  type Recorder,
  FeedReader,
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
  /** DRAIN_LIMITS_DEFAULT if absent. */
  readonly drainLimits?: DrainLimits | undefined
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
  /** What hosts may ask besides their session. */
  readonly hostCalls: HostCalls
  /** Hears of requests of hosts that were refused, for the audit. */
  readonly onHostRefused: (refusal: HostRefusal) => void
  readonly fleet: Fleet
  readonly sessions: HostSessions
  readonly images: ReturnType<typeof createImageService>
  isLeading(): boolean
  /** The world is complete and reconcilers contend when this resolves. */
  start(): Promise<void>
  stop(): Promise<void>
}

export function createRegion(deps: RegionDeps): Region {
  const { database, clock, random, log, quotaDefaults = {} } = deps
  const world = new World(clock)
  const feed = new FeedReader({ database, world, clock, log })
  const recorder = createRecorder({ database, clock, world, feed, random, quotaDefaults })
  const ledger = new WorldLedger(world, deps)
  const shared = { world, recorder, database, clock, random, log, ledger }

  const services = createServices(deps, shared)
  const { identity, audit, quota, operations, network, images, fleet, sessions, compute } = services
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
      ...computeBindings({
        compute,
        drains: createHostDrains({ ...shared, find: fleet.service.find }),
        world,
      }),
      ...applyBindings({ applies: createApplyService({ ...shared, compute, images, catchUp }) }),
      watchBinding(shared, identity),
      serverStatusBinding({ ...deps, world, sessions, isLeading }),
    ].map((binding) => handled(binding, { audit, world, catchUp })),
    authorize: (call) => lookTwice(world, catchUp, () => identity.authorize(call)),
    onRefused: audit.refused,
    hostCalls: createHostCalls({ ...shared, audit, membership: fleet.membership, images }),
    onHostRefused: audit.hostRefused,
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

type Shared = Pick<RegionDeps, 'database' | 'clock' | 'random' | 'log'> & {
  readonly world: World
  readonly recorder: Recorder
  readonly ledger: WorldLedger
}

/** Every domain, in the order in which they know each other. */
function createServices(deps: RegionDeps, shared: Shared) {
  const { quotaDefaults = {} } = deps
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
  return { identity, audit, quota, operations, network, images, fleet, sessions, compute }
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
