import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { PlatformError } from '@nubo/base'
import {
  BEAT_FILE,
  formatLease,
  GUARD_SILENT_MAX_MS,
  LEASE_FILE,
  parseBeat,
  parseLease,
  readRecord,
  readWatched,
  STOPS_WITHIN_MS,
  WATCHED_FOLDER,
  writeRecord,
} from './lease-guard.ts'
import type { LeaseKeeper } from './lease-keeper.ts'

/**
 * The agent's side of the guard's folder. `nowMs` is milliseconds since the boot, counted while the machine sleeps, as
 * the guard counts them, and the clock of all leases.
 */
export function openGuardFiles(options: {
  readonly folder: string
  readonly bootId: string
  readonly nowMs: () => number
  /** The cgroup that holds all of a set. */
  readonly cgroupOf: (setId: string) => string
}): LeaseKeeper {
  const { folder, bootId, nowMs, cgroupOf } = options
  const leaseFile = path.join(folder, LEASE_FILE)
  const beatFile = path.join(folder, BEAT_FILE)
  const watchedFolder = path.join(folder, WATCHED_FOLDER)
  mkdirSync(watchedFolder, { recursive: true, mode: 0o700 })
  // What an earlier life watched may still run. An entry that is not whole was written for nothing that started.
  const watched = new Set(
    readWatched(folder)
      .filter(([setId, cgroup]) => cgroup === cgroupOf(setId))
      .map(([setId]) => setId),
  )

  return {
    load: () => {
      const text = readRecord(leaseFile)
      if (text === undefined) return 'none'
      const lease = parseLease(text)
      if (lease === undefined) return 'damaged'
      return lease.bootId === bootId ? lease.untilMs : 'none'
    },

    save: (untilMs) => writeRecord(leaseFile, formatLease({ bootId, untilMs })),

    watch: (setId) => {
      if (watched.has(setId)) return
      try {
        writeFileSync(path.join(watchedFolder, setId), `${cgroupOf(setId)}\n`, { mode: 0o600 })
      } catch (cause) {
        rmSync(path.join(watchedFolder, setId), { force: true })
        throw new PlatformError(
          'HOST_DISK_FULL',
          { what: 'the list of sets for the lease guard', setId },
          { cause },
        )
      }
      watched.add(setId)
    },

    unwatch: (setId) => {
      if (watched.delete(setId)) rmSync(path.join(watchedFolder, setId), { force: true })
    },

    watched: () => watched,

    stopsWithinMs: () => {
      const beat = parseBeat(readRecord(beatFile) ?? '')
      const isAlive =
        beat !== undefined &&
        beat.bootId === bootId &&
        nowMs() - beat.atMs <= GUARD_SILENT_MAX_MS &&
        isProgram(beat.pid)
      return isAlive ? STOPS_WITHIN_MS : null
    },
  }
}

/** Whether the process runs; one that is stopped or ended guards nothing. That it is the guard, its recent beat tells. */
function isProgram(pid: number): boolean {
  try {
    // 'PID (NAME) STATE …', where the name may hold anything.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !'TtZX'.includes(stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3))
  } catch {
    return false
  }
}
