import {
  every,
  isPlatformError,
  PlatformError,
  type Clock,
  type HostId,
  type Timer,
} from '@nubo/base'
import type { Hello } from '@nubo/contracts/host'
import { Batcher, type Database, type Log } from '@nubo/runtime'
import type { Recorder, Tables, Touched, Tx } from '../../world/index.ts'
import { RECORD_PERIOD_MS, RECORD_STALE_MAX_MS } from './lease.ts'
import { recordHeard, type Heard } from './liveness-store.ts'
import {
  connectedHostsWithVtep,
  lockHosts,
  recordArrivals,
  recordCleaned,
  type Arrival,
} from './store.ts'

/** After the loss of a server thousands come at once, and a commit for each would take all there are. */
const ARRIVALS_PER_COMMIT_MAX = 64

type Arriving = Omit<Arrival, 'host' | 'atMs'> & { readonly hostId: HostId }

export interface PresenceDeps {
  readonly database: Database<Tables>
  readonly recorder: Recorder
  readonly clock: Clock
  readonly log: Log
}

/** Who is connected to this server and when they were last heard. */
export interface Presence {
  /**
   * The agent said hello. When this resolves, the world has the host as `ready` with this session; or as `returning`, if
   * it was fenced and has not shown yet that nothing of an older placement is left on it.
   * Errors: NOT_FOUND if it was removed; NOT_ALLOWED_NOW if another connected host has its tunnel address.
   */
  connected(
    hostId: HostId,
    hello: Hello,
    by: { serverName: string; sessionId: string },
  ): Promise<void>
  /** The end of a session is not recorded: if the host does not come back, its silence is noticed. */
  heard(hostId: HostId, sessionId: string): void
  /** Whether the record has a heartbeat of this session that is young enough; see RECORD_STALE_MAX_MS. */
  mayGrantLease(hostId: HostId, sessionId: string): boolean
  /** In this session the host has reported all it has, and nothing of it is of an older placement. Idempotent. */
  cleaned(hostId: HostId, sessionId: string): Promise<void>
  start(): void
  /** Writes what was heard last. */
  stop(): Promise<void>
}

export function createPresence(deps: PresenceDeps): Presence {
  const { database, recorder, clock, log } = deps
  let unrecorded = new Map<HostId, Heard>()
  /** Of each host the session whose heartbeat was confirmed last, and when the write of it began. */
  const confirmed = new Map<HostId, { sessionId: string; sinceMs: number }>()
  let timer: Timer | undefined
  const arrivals = new Batcher<Arriving>({
    itemsMax: ARRIVALS_PER_COMMIT_MAX,
    run: (arriving) => recorder.write((tx, touched) => recordAll(tx, touched, arriving)),
    isWorthSplitting: (error) => !isPlatformError(error) || error.kind !== 'unavailable',
  })

  async function recordAll(tx: Tx, touched: Touched, arriving: readonly Arriving[]): Promise<void> {
    const rows = await lockHosts(
      tx,
      arriving.map(({ hostId }) => hostId),
    )
    const others = await connectedHostsWithVtep(
      tx,
      arriving.flatMap(({ hello }) => hello.vtepAddress ?? []),
    )
    const atMs = clock.nowMs()
    // Of a host that arrived twice the later session counts.
    const arrivals = new Map<HostId, Arrival>()
    for (const { hostId, ...said } of arriving) {
      const host = rows.get(hostId)
      if (host === undefined) throw new PlatformError('NOT_FOUND', { kind: 'host', host: hostId })
      const { vtepAddress } = said.hello
      const other = others.find(
        (one) => vtepAddress !== null && one.vtepAddress === vtepAddress && one.id !== hostId,
      )
      if (other !== undefined) throw tunnelTaken(host, other)
      others.push({ id: hostId, name: host.name, vtepAddress })
      arrivals.set(hostId, { ...said, host, atMs })
    }
    await recordArrivals(tx, touched, [...arrivals.values()])
  }

  async function record(): Promise<void> {
    const batch = unrecorded
    if (batch.size === 0) return
    unrecorded = new Map()
    const sinceMs = clock.monotonicMs()
    try {
      const hosts = new Set(await recordHeard(database.query, [...batch.values()]))
      for (const [hostId, { sessionId }] of batch)
        // Not confirmed: the host was removed or given up, or has a newer session. Its agent must say hello again.
        if (hosts.has(hostId)) confirmed.set(hostId, { sessionId, sinceMs })
        else if (confirmed.get(hostId)?.sessionId === sessionId) confirmed.delete(hostId)
    } catch (error) {
      for (const [hostId, heard] of batch)
        if (!unrecorded.has(hostId)) unrecorded.set(hostId, heard)
      log.warn('heartbeats could not be written; they are tried again', { error })
    }
  }

  return {
    connected: async (hostId, hello, by) => {
      const sinceMs = clock.monotonicMs()
      await arrivals.add({ hostId, hello, ...by })
      confirmed.set(hostId, { sessionId: by.sessionId, sinceMs })
    },

    heard: (hostId, sessionId) => {
      unrecorded.set(hostId, { hostId, sessionId, atMs: clock.nowMs() })
    },

    mayGrantLease: (hostId, sessionId) => {
      const last = confirmed.get(hostId)
      return (
        last?.sessionId === sessionId && clock.monotonicMs() - last.sinceMs <= RECORD_STALE_MAX_MS
      )
    },

    cleaned: async (hostId, sessionId) => {
      const isReady = await recorder.write((tx, touched) =>
        recordCleaned(tx, touched, { hostId, sessionId, atMs: clock.nowMs() }),
      )
      if (isReady) log.info('a host that was fenced is back in service', { hostId })
    },

    start: () => {
      timer ??= every(clock, RECORD_PERIOD_MS, record)
    },

    stop: async () => {
      timer?.cancel()
      timer = undefined
      await record()
    },
  }
}

function tunnelTaken(
  host: { readonly name: string },
  other: { readonly name: string; readonly vtepAddress: string | null },
): PlatformError {
  const { name, vtepAddress } = other
  return new PlatformError(
    'NOT_ALLOWED_NOW',
    { host: host.name, other: name, vtepAddress, next: 'give each host its own tunnel address' },
    { message: `Host ${name} has the tunnel address ${vtepAddress} already.` },
  )
}
