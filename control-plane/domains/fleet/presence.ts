import { every, PlatformError, type Clock, type HostId, type Timer } from '@nubo/base'
import { HEARTBEAT_PERIOD_MS, type Hello } from '@nubo/contracts/host'
import type { Database, Log } from '@nubo/runtime'
import type { Recorder, Tables } from '../../world/index.ts'
import { connectedHostWithVtep, lockHost, recordArrival, recordHeard, type Heard } from './store.ts'

/** Heartbeats are written in one statement so often; they never enter the feed. */
const RECORD_PERIOD_MS = HEARTBEAT_PERIOD_MS
/**
 * A lease is good only if the record knows that the host was heard: whoever decides that a host is dead looks there.
 * So a server that could not write for this long grants none, and its hosts move on to one that can.
 */
const RECORD_STALE_MAX_MS = 5 * RECORD_PERIOD_MS

export interface PresenceDeps {
  readonly database: Database<Tables>
  readonly recorder: Recorder
  readonly clock: Clock
  readonly log: Log
}

/** Who is connected to this server and when they were last heard. */
export interface Presence {
  /**
   * The agent said hello. When this resolves, the world has the host as `ready` with this session.
   * Errors: NOT_FOUND if it was removed; NOT_ALLOWED_NOW if another connected host has its tunnel address.
   */
  connected(
    hostId: HostId,
    hello: Hello,
    by: { serverName: string; sessionId: string },
  ): Promise<void>
  /** The end of a session is not recorded: if the host does not come back, its silence is noticed. */
  heard(hostId: HostId, sessionId: string): void
  /** See RECORD_STALE_MAX_MS. */
  mayGrantLease(): boolean
  start(): void
  /** Writes what was heard last. */
  stop(): Promise<void>
}

export function createPresence(deps: PresenceDeps): Presence {
  const { database, recorder, clock, log } = deps
  let unrecorded = new Map<HostId, Heard>()
  let recordedAtMs = clock.monotonicMs()
  let timer: Timer | undefined

  async function record(): Promise<void> {
    const batch = unrecorded
    if (batch.size === 0) return
    unrecorded = new Map()
    try {
      await recordHeard(database.query, [...batch.values()])
      recordedAtMs = clock.monotonicMs()
    } catch (error) {
      for (const [hostId, heard] of batch)
        if (!unrecorded.has(hostId)) unrecorded.set(hostId, heard)
      log.warn('heartbeats could not be written; they are tried again', { error })
    }
  }

  return {
    connected: async (hostId, hello, by) => {
      await recorder.write(async (tx, touched) => {
        const row = await lockHost(tx, hostId)
        if (row === undefined) throw new PlatformError('NOT_FOUND', { kind: 'host', host: hostId })
        const { vtepAddress } = hello
        const other =
          vtepAddress === null
            ? undefined
            : await connectedHostWithVtep(tx, { vtepAddress, notId: hostId })
        if (other !== undefined) {
          throw new PlatformError(
            'NOT_ALLOWED_NOW',
            { host: row.name, other, vtepAddress, next: 'give each host its own tunnel address' },
            { message: `Host ${other} has the tunnel address ${vtepAddress} already.` },
          )
        }
        await recordArrival(tx, touched, { hostId, hello, ...by, atMs: clock.nowMs() })
      })
      recordedAtMs = clock.monotonicMs()
    },

    heard: (hostId, sessionId) => {
      unrecorded.set(hostId, { hostId, sessionId, atMs: clock.nowMs() })
    },

    mayGrantLease: () => clock.monotonicMs() - recordedAtMs <= RECORD_STALE_MAX_MS,

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
