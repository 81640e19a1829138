import { HEARTBEAT_PERIOD_MS, LEASE_MS } from '@nubo/contracts/host'

/** Heartbeats are written in one statement so often; they never enter the feed. */
export const RECORD_PERIOD_MS = HEARTBEAT_PERIOD_MS

/**
 * A lease is good only if the record knows that the host was heard: whoever decides that a host is dead looks there. So a
 * server grants one only while the newest heartbeat of that very session that it has *seen confirmed* in the record is at
 * most this old, counted on its monotonic clock from the start of the write.
 */
export const RECORD_STALE_MAX_MS = 3 * RECORD_PERIOD_MS

/**
 * How far the monotonic clocks of a host and of the leader may move apart while a lease runs out. Kernels correct a clock
 * by at most 500 parts in a million: 0.02 s in 40 s. The rest is for timers that are late.
 */
export const CLOCK_SKEW_MAX_MS = 2_000

/**
 * So long after the record of a host changed last, nothing with recovery `elsewhere` runs on it any more, if something on
 * the host guarantees that it stops within `stopsWithinMs` after its lease.
 *
 *   W  start of the last confirmed write     C  its commit, which is the last change of the record: C ≥ W
 *   G  last moment at which a lease was granted: G ≤ W + RECORD_STALE_MAX ≤ C + RECORD_STALE_MAX
 *   E  end of that lease. The host counts from when it sent the heartbeat, before it was answered: E ≤ G + LEASE
 *   S  everything is stopped: S ≤ E + stopsWithin ≤ C + RECORD_STALE_MAX + LEASE + stopsWithin
 *
 * A write whose outcome is unknown (the connection broke) may have changed the record, but grants nothing. Once a host is
 * recorded as unreachable no session of it counts, so that no write of its heartbeats changes the record, until it
 * arrives anew, which makes it ready. The leader sees the change at C or later, so waiting from there is enough.
 */
export function leaseProvenEndedAfterMs(stopsWithinMs: number): number {
  return RECORD_STALE_MAX_MS + LEASE_MS + stopsWithinMs + CLOCK_SKEW_MAX_MS
}
