import type { Clock, HostId } from '@nubo/base'
import { HEARTBEAT_MISSED_MAX, HEARTBEAT_PERIOD_MS } from '@nubo/contracts/host'
import type { Database, Log } from '@nubo/runtime'
import type { HostRow, Recorder, Tables, World } from '../../../world/index.ts'
import { readHeard, recordSilence } from '../store.ts'

/** A host that was not heard by any server for so long is unreachable. */
export const SILENCE_MAX_MS = HEARTBEAT_PERIOD_MS * (HEARTBEAT_MISSED_MAX + 1)
export const LIVENESS_PERIOD_MS = 1_000
/** After a gap this long between two passes (the database was away, this process slept) every host gets its grace anew. */
const PASS_GAP_MAX_MS = 3 * LIVENESS_PERIOD_MS

/** What this process has seen of one host: the last time of a heartbeat in the record, and when that time changed. */
interface Seen {
  readonly heardAtMs: number | null
  readonly changedAtMs: number
}

/** The process that leads runs `pass` every `periodMs`; a new leader makes a new one. */
export interface LivenessReconciler {
  readonly periodMs: number
  pass(): Promise<void>
}

/**
 * Marks hosts whose heartbeats stopped as unreachable. Silence is measured as "the recorded time did not change while I
 * was looking", on this process's own monotonic clock: clocks of servers may differ, and a new leader or a database
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

  return {
    periodMs: LIVENESS_PERIOD_MS,
    pass: async () => {
      const heard = await readHeard(database)
      const nowMs = clock.monotonicMs()
      const stalled = passedAtMs === undefined || nowMs - passedAtMs > PASS_GAP_MAX_MS
      const hosts = [...world.host.values()].filter((host) => host.state === 'ready')
      seen = observe(hosts, { seen: stalled ? new Map() : seen, heard, nowMs })
      passedAtMs = nowMs
      const silent = hosts.filter(
        (host) => nowMs - (seen.get(host.id)?.changedAtMs ?? nowMs) > SILENCE_MAX_MS,
      )
      if (silent.length === 0) return
      const marked = await recorder.write(async (tx, touched) => {
        const names: string[] = []
        for (const host of silent) {
          const heardAtMs = seen.get(host.id)?.heardAtMs ?? null
          if (await recordSilence(tx, touched, silence(host, heardAtMs))) names.push(host.name)
        }
        return names
      })
      for (const host of marked) log.warn('a host is unreachable', { host })
    },
  }
}

/** Pure: carries over what was seen, with a new moment for each host whose recorded time changed. */
export function observe(
  hosts: readonly Pick<HostRow, 'id'>[],
  now: { seen: ReadonlyMap<HostId, Seen>; heard: ReadonlyMap<HostId, number>; nowMs: number },
): Map<HostId, Seen> {
  return new Map(
    hosts.map(({ id }) => {
      const heardAtMs = now.heard.get(id) ?? null
      const before = now.seen.get(id)
      const isSame = before !== undefined && before.heardAtMs === heardAtMs
      return [id, isSame ? before : { heardAtMs, changedAtMs: now.nowMs }]
    }),
  )
}

function silence(host: HostRow, heardAtMs: number | null): Parameters<typeof recordSilence>[2] {
  const since = heardAtMs === null ? '' : ` since ${new Date(heardAtMs).toISOString()}`
  return {
    hostId: host.id,
    sessionId: host.sessionId,
    heardAtMs,
    reason: JSON.stringify({
      code: 'HOST_UNREACHABLE',
      text: `Nothing was heard from the agent of this host${since}; what runs there may still run.`,
    }),
  }
}
