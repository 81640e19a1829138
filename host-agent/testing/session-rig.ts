import { seededRandom, VirtualClock } from '@nubo/base'
import type { FoundSet, Hello, WantedUpdate } from '@nubo/contracts/host'
import { silentLog } from '@nubo/runtime/process'
import { FoundReports } from '../session/found-reports.ts'
import { Session, type SessionNeeds } from '../session/session.ts'
import { FakeServers } from './fake-server.ts'
import { testId } from './wanted.ts'

const hello: Hello = {
  type: 'hello',
  contracts: [3, 2, 1],
  stopsWithinMs: null,
  probeAddress: null,
  accelerator: null,
  vmsProblem: null,
  hostId: testId('host', 1),
  bootId: 'boot-1',
  wantedRevision: null,
  inventory: {
    cores: 2,
    memoryBytes: 1,
    diskBytes: 1,
    kernel: '6',
    engines: {},
    nics: [],
    agentVersion: '0',
  },
  capacity: { cpuMillis: 1, memoryBytes: 1, diskBytes: 1 },
  reserve: { cpuMillis: 0, memoryBytes: 0, diskBytes: 0 },
  vtepAddress: null,
  underlayMtuBytes: 1_500,
}

export function reported(number: number, progress = ''): FoundSet {
  return {
    kind: 'set',
    id: testId('set', number),
    epoch: 1,
    generation: 1,
    state: 'running',
    progress,
    reason: null,
    containers: [],
  }
}

/** A session alone, between servers in memory and handlers that keep what they are told. */
export function makeSession(change: Partial<SessionNeeds> = {}) {
  const clock = new VirtualClock()
  const servers = new FakeServers()
  const reports = new FoundReports()
  const seen = {
    wanted: [] as WantedUpdate[],
    leases: [] as number[],
    streams: [] as { server: string; token: string }[],
    ends: 0,
    revision: null as number | null,
  }
  const session = new Session({
    clock,
    random: seededRandom(1),
    log: silentLog,
    connector: servers,
    reports,
    contracts: [3, 2, 1],
    servers: () => servers.servers,
    hello: () => Promise.resolve(hello),
    wantedRevision: () => seen.revision,
    onWelcome: () => undefined,
    onWanted: (update) => {
      seen.wanted.push(update)
      if (update.last) seen.revision = update.revision
      return update.last ? 'stored' : 'partial'
    },
    onLease: (untilMs) => seen.leases.push(untilMs) > 0,
    stopsWithinMs: () => null,
    onOpenStream: (request) => seen.streams.push(request),
    onProbe: () => Promise.resolve([]),
    onEnd: () => (seen.ends += 1),
    untilFound: () => Promise.resolve(),
    ...change,
  })
  const abort = new AbortController()
  const running = session.run(abort.signal)
  const stop = async (): Promise<void> => {
    abort.abort()
    await running
  }
  return { clock, servers, reports, session, seen, stop }
}
