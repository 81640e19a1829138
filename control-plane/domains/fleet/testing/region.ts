import type { TestContext } from 'node:test'
import { newId, type Clock, type HostId, type NetworkId, type SetId } from '@nubo/base'
import type { HostFence } from '@nubo/contracts'
import { parseJoinToken, type Hello } from '@nubo/contracts/host'
import { openDatabase, silentLog, systemClock, systemRandom, type Database } from '@nubo/runtime'
import { openTestDatabase } from '../../../../tests/support/database.ts'
import {
  createRecorder,
  FeedReader,
  World,
  type Recorder,
  type Tables,
} from '../../../world/index.ts'
import { createFleet, type Fleet } from '../fleet.ts'
import { BRAKE_LIMITS_DEFAULT } from '../brake.ts'
import type { CertificateAuthority, Evacuation, NeighbourProbes, PowerControl } from '../needs.ts'
import { noPowerControl } from '../no-power-control.ts'
import { fakeCertificateAuthority } from './fake-certificate-authority.ts'

/** The system's clock, with hands that tests may move forward; timers stay real. */
export class MovableClock implements Clock {
  #aheadMs = 0
  #wallBackMs = 0

  nowMs(): number {
    return systemClock.nowMs() + this.#aheadMs - this.#wallBackMs
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs
  }

  after(delayMs: number, fire: () => void) {
    return systemClock.after(delayMs, fire)
  }

  /** The time of day only. */
  moveBack(byMs: number): void {
    this.#wallBackMs += byMs
  }

  move(byMs: number): void {
    this.#aheadMs += byMs
  }
}

/** What the fleet needs from outside, as tests want it. */
export interface FleetSurroundings {
  readonly power: PowerControl
  readonly probes: NeighbourProbes
  readonly evacuation: Evacuation
}

const quiet: FleetSurroundings = {
  power: noPowerControl,
  probes: { probe: () => Promise.resolve(undefined) },
  evacuation: { release: () => Promise.resolve() },
}

/** One server process's view of a region, with the fleet on it. */
export interface TestServer {
  readonly database: Database<Tables>
  readonly clock: MovableClock
  readonly world: World
  readonly recorder: Recorder
  readonly fleet: Fleet
}

/** `count` server processes on one fresh database; with a CA that does no cryptography unless another is given. */
export async function openServers(
  context: TestContext,
  count = 1,
  openAuthority?: (database: Database<Tables>) => Promise<CertificateAuthority>,
  surroundings: Partial<FleetSurroundings> = {},
): Promise<TestServer[]> {
  const shared = await openTestDatabase<Tables>(context)
  const clock = new MovableClock()
  const certificates = (await openAuthority?.(shared.database)) ?? fakeCertificateAuthority(clock)
  return Promise.all(
    Array.from({ length: count }, async () => {
      const database = openDatabase<Tables>({ url: shared.url, clock: systemClock, log: silentLog })
      context.after(() => database.close())
      const world = new World(clock)
      const feed = new FeedReader({ database, world, clock, log: silentLog })
      context.after(() => feed.stop())
      await feed.start()
      const recorder = createRecorder({ database, clock, world, feed })
      const fleet = createFleet({
        world,
        recorder,
        database,
        certificates,
        clock,
        random: systemRandom,
        log: silentLog,
        region: 'test',
        hostContractServers: ['10.0.0.1:7443'],
        ...quiet,
        ...surroundings,
        brakeLimits: BRAKE_LIMITS_DEFAULT,
      })
      return { database, clock, world, recorder, fleet }
    }),
  )
}

export const noFence: HostFence = {
  step: 'looking',
  text: '',
  silentSince: null,
  neighbours: [],
  power: 'none',
  powerProblem: null,
  by: null,
  fencedAt: null,
}

export const placeOfHost = { zone: 'zone-1', rack: 'rack-1', labels: {} }

export async function inviteHost(server: TestServer, name: string) {
  const invited = await server.fleet.service.invite({ name, roles: ['compute'], ...placeOfHost })
  const secret = parseJoinToken(invited.token)?.secret
  if (secret === undefined) throw new Error('the join token does not parse')
  return { ...invited, secret, hostId: invited.row.id }
}

/** Invites a host and joins it; returns its id and the serial of its certificate. */
export async function joinHost(
  server: TestServer,
  name: string,
): Promise<{ hostId: HostId; serial: string }> {
  const { secret, hostId } = await inviteHost(server, name)
  const reply = await server.fleet.membership.join({
    hostName: name,
    secret,
    certificateRequest: 'good',
  })
  return { hostId, serial: reply.certificate.split(' ')[1] ?? '' }
}

export function helloOf(hostId: string, changes: Partial<Hello> = {}): Hello {
  return {
    type: 'hello',
    contracts: [3, 2, 1],
    stopsWithinMs: null,
    probeAddress: null,
    accelerator: null,
    vmsProblem: null,
    hostId,
    bootId: 'boot-1',
    wantedRevision: null,
    inventory: {
      cores: 4,
      memoryBytes: 8e9,
      diskBytes: 1e11,
      kernel: '6.1',
      engines: { docker: '20.10.24' },
      nics: [],
      agentVersion: '0.1.0',
    },
    capacity: { cpuMillis: 4_000, memoryBytes: 8e9, diskBytes: 1e11 },
    reserve: { cpuMillis: 500, memoryBytes: 1e9, diskBytes: 1e10 },
    vtepAddress: '10.1.0.1',
    underlayMtuBytes: 1_600,
    ...changes,
  }
}

export const newSessionId = (): string => newId<'session'>(systemClock, systemRandom)

/** A set on a host, with a port in a network of its own; all in one project. */
export async function placeSet(
  server: TestServer,
  asked: { name: string; hostId: HostId | null },
): Promise<{ setId: SetId; networkId: NetworkId }> {
  const { recorder, clock, world } = server
  const createdAtMs = clock.nowMs()
  const project = world.project.by('name', 'test')[0]
  const projectId = project?.id ?? newId<'project'>(clock, systemRandom)
  const setId = newId<'set'>(clock, systemRandom)
  const networkId = newId<'network'>(clock, systemRandom)
  const subnetId = newId<'subnet'>(clock, systemRandom)
  const portId = newId<'port'>(clock, systemRandom)
  await recorder.write(async (tx, touched) => {
    if (project === undefined) {
      const accountId = newId<'account'>(clock, systemRandom)
      await tx.insertInto('account').values({ id: accountId, name: 'test', createdAtMs }).execute()
      await tx
        .insertInto('project')
        .values({ id: projectId, accountId, name: 'test', createdAtMs })
        .execute()
      touched.touch('project', projectId)
    }
    const common = { projectId, name: asked.name, createdAtMs }
    const vni = world.network.size + 1
    await tx
      .insertInto('network')
      .values({ ...common, id: networkId, cidr: '10.9.0.0/16', vni, mtuBytes: 1_450 })
      .execute()
    await tx
      .insertInto('subnet')
      .values({
        ...common,
        id: subnetId,
        networkId,
        cidr: '10.9.1.0/24',
        gatewayAddress: '10.9.1.1',
        gatewayMac: '0a:00:00:00:00:01',
      })
      .execute()
    await tx
      .insertInto('set')
      .values({
        ...common,
        id: setId,
        wanted: 'running',
        generation: 1,
        recovery: 'local',
        cpuMillis: 500,
        memoryBytes: 128 * 2 ** 20,
        labels: '{}',
        containers: JSON.stringify([wantedContainer()]),
        placementRule: JSON.stringify({ hostId: null, spread: 'host', hostLabels: {} }),
        hostId: asked.hostId,
        epoch: asked.hostId === null ? 0 : 1,
      })
      .execute()
    await tx
      .insertInto('port')
      .values({
        ...common,
        id: portId,
        networkId,
        subnetId,
        mac: '0a:00:00:00:00:02',
        address: '10.9.1.2',
        setId,
        hostId: null,
        interfaceName: null,
        ownedBySet: true,
      })
      .execute()
    touched.touch('network', networkId)
    touched.touch('subnet', subnetId)
    touched.touch('set', setId)
    touched.touch('port', portId)
  })
  return { setId, networkId }
}

function wantedContainer() {
  return {
    name: 'main',
    index: 0,
    image: { repository: 'test/web', digest: `sha256:${'0'.repeat(64)}` },
    command: null,
    env: {},
    cpuMillis: null,
    memoryBytes: null,
    healthCheck: null,
    restart: { policy: 'always', backoffMaxMs: 30_000 },
    stopTimeoutMs: 10_000,
    imageId: '01900000-0000-7000-8000-00000000aaaa',
    imageName: 'web',
  }
}
