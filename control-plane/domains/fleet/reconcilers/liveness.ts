import type { Clock, HostId } from '@nubo/base'
import type { HostFence } from '@nubo/contracts'
import { HEARTBEAT_MISSED_MAX, HEARTBEAT_PERIOD_MS } from '@nubo/contracts/host'
import type { Database, Log } from '@nubo/runtime'
import type { HostRow, Recorder, Tables, World } from '../../../world/index.ts'
import {
  readLiveness,
  recordSilence,
  type LivenessRecord,
  type Silence,
} from '../liveness-store.ts'
import { isConnected } from '../store.ts'

/** A host that was not heard by any server for so long is unreachable. */
export const SILENCE_MAX_MS = HEARTBEAT_PERIOD_MS * (HEARTBEAT_MISSED_MAX + 1)
/** One that was not heard for so long may be about to be lost; the brake counts it (brake.ts). */
export const SUSPECT_MS = SILENCE_MAX_MS - HEARTBEAT_PERIOD_MS * 1.5
export const LIVENESS_PERIOD_MS = 1_000
/** After a gap this long between two passes (the database was away, this process slept) every host gets its grace anew. */
const PASS_GAP_MAX_MS = 3 * LIVENESS_PERIOD_MS
/**
 * Who leads for less than this gives up a few hosts, but not many at once: most likely all servers were away, and
 * thousands of hosts come back as fast as they can be admitted.
 */
export const RETURN_GRACE_MS = 30_000
const FEW_HOSTS = 2
const FEW_SHARE = 0.1
/** Thousands may fall silent at once, and those that come back must not wait until all of them are recorded; */
const SILENT_PER_COMMIT_MAX = 64
/** nor may a pass take so long that the next one seems to come after a gap. */
const SILENT_PER_PASS_MAX = 512

/** What this process has seen of the record of one host, and since when it has been so. */
export interface Seen {
  readonly record: LivenessRecord | undefined
  readonly changedAtMs: number
}

/** The process that leads runs `pass` every `periodMs`; a new leader makes a new one. */
export interface LivenessReconciler {
  readonly periodMs: number
  pass(): Promise<void>
  /**
   * The record of a host as the last pass read it, and for how long it had not changed when that pass *began* to read;
   * so a process that was asleep in between does not take its sleep for the host's silence. Undefined before a pass.
   */
  seenOf(hostId: HostId): { record: LivenessRecord | undefined; unchangedMs: number } | undefined
}

/**
 * Marks hosts whose heartbeats stopped as unreachable. Silence is measured as "the record did not change while I was
 * looking", on this process's own monotonic clock: clocks of servers may differ, and a new leader or a database
 * that returns does not condemn hosts that nobody could hear.
 */
export function createLivenessReconciler(deps: {
  world: World
  recorder: Recorder
  database: Database<Tables>
  clock: Clock
  log: Log
}): LivenessReconciler {
  const { world, recorder, database, clock, log } = deps
  let seen = new Map<HostId, Seen>()
  let passedAtMs: number | undefined
  let readAtMs = 0
  let leadsSinceMs: number | undefined

  return {
    periodMs: LIVENESS_PERIOD_MS,
    seenOf: (hostId) => {
      const one = seen.get(hostId)
      return one && { record: one.record, unchangedMs: Math.max(0, readAtMs - one.changedAtMs) }
    },
    pass: async () => {
      const beganAtMs = clock.monotonicMs()
      const records = await readLiveness(database.query)
      const nowMs = clock.monotonicMs()
      leadsSinceMs ??= nowMs
      const isStalled = passedAtMs === undefined || nowMs - passedAtMs > PASS_GAP_MAX_MS
      const hosts = [...world.host.values()].filter(({ state }) => isWatched(state))
      seen = observe(hosts, { seen, records, nowMs, isStalled })
      passedAtMs = nowMs
      readAtMs = beganAtMs
      const silent = hosts.filter(
        (host) =>
          isConnected(host) && nowMs - (seen.get(host.id)?.changedAtMs ?? nowMs) > SILENCE_MAX_MS,
      )
      const isMany = silent.length > Math.max(FEW_HOSTS, hosts.length * FEW_SHARE)
      if (isMany && nowMs - leadsSinceMs < RETURN_GRACE_MS) return
      // One order for all processes, so that no two wait for each other.
      const given = silent
        .toSorted((a, b) => (a.id < b.id ? -1 : 1))
        .slice(0, SILENT_PER_PASS_MAX)
        .map((host) => silence(host, seen.get(host.id)?.record))
      for (let from = 0; from < given.length; from += SILENT_PER_COMMIT_MAX) {
        const some = given.slice(from, from + SILENT_PER_COMMIT_MAX)
        const marked = await recorder.write((tx, touched) => recordSilence(tx, touched, some))
        for (const id of marked)
          log.warn('a host is unreachable', { host: world.host.get(id)?.name })
      }
    },
  }
}

function isWatched(state: HostRow['state']): boolean {
  return state === 'ready' || state === 'returning' || state === 'unreachable'
}

/**
 * Pure: carries over what was seen, with a new moment for each host whose record changed. After a stall connected hosts
 * get a new moment all the same: nobody may have been able to write. For a host that is lost already a record that has
 * not changed proves what it did before.
 */
export function observe(
  hosts: readonly Pick<HostRow, 'id' | 'state'>[],
  now: {
    seen: ReadonlyMap<HostId, Seen>
    records: ReadonlyMap<HostId, LivenessRecord>
    nowMs: number
    isStalled: boolean
  },
): Map<HostId, Seen> {
  return new Map(
    hosts.map((host) => {
      const record = now.records.get(host.id)
      const before = now.seen.get(host.id)
      const isSame =
        before !== undefined &&
        before.record?.value === record?.value &&
        !(now.isStalled && isConnected(host))
      return [host.id, isSame ? before : { record, changedAtMs: now.nowMs }]
    }),
  )
}

/** The sentence with which the reason of a lost host begins, whatever is found out about it later. */
export function silenceText(silentSinceMs: number | null): string {
  const since = silentSinceMs === null ? '' : ` since ${new Date(silentSinceMs).toISOString()}`
  return `Nothing was heard from the agent of this host${since}; what runs there may still run.`
}

function silence(host: HostRow, record: LivenessRecord | undefined): Silence {
  const silentSince = record?.heardAtMs ?? null
  const fence: HostFence = {
    step: 'looking',
    text: 'Its neighbours are asked whether they hear it.',
    silentSince,
    neighbours: [],
    power: host.power === null ? 'none' : 'unknown',
    powerProblem: null,
    by: null,
    fencedAt: null,
  }
  return {
    hostId: host.id,
    record,
    reason: { code: 'HOST_UNREACHABLE', text: silenceText(silentSince) },
    fence,
  }
}
