import { isPlatformError, sleep, type Clock, type HostId } from '@nubo/base'
import type { FoundReport, FoundSet } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import type { World } from '../world/index.ts'
import type { HostEvents } from './needs.ts'

/** Reports that came while one was being recorded are merged; a host cannot have more sets than this. */
const PENDING_SETS_MAX = 10_000
/** How long a report may refer to a revision that this process has not seen yet. */
const REVISION_WAIT_MS = 2_000
const RETRY_MS = 500
/**
 * Reports about a placement that no longer counts are refused. An honest agent may send some while the news travels
 * (one batch in 50 ms, so a second's worth); one that goes on breaks the contract.
 */
export const STALE_REPORTS_MAX = 20

/**
 * `current`: the set is on this host at this epoch. `stale`: an older epoch, or the set has no host now. `ahead`: an
 * epoch or generation that was never given out. `foreign`: the present placement of another host. `unknown`: no such set.
 */
export type Verdict = 'current' | 'stale' | 'ahead' | 'foreign' | 'unknown'

export function judgeFound(
  world: World,
  hostId: HostId,
  found: Pick<FoundSet, 'id' | 'epoch' | 'generation'>,
): Verdict {
  const set = world.set.get(found.id)
  if (set === undefined) return 'unknown'
  if (found.epoch > set.epoch || found.generation > set.generation) return 'ahead'
  if (found.epoch < set.epoch || set.hostId === null) return 'stale'
  return set.hostId === hostId ? 'current' : 'foreign'
}

/** The later report says more; a full one says all. */
export function mergeReports(earlier: FoundReport, later: FoundReport): FoundReport {
  if (later.full) return later
  const sets = new Map([...earlier.sets, ...later.sets].map((set) => [set.id, set]))
  return {
    type: 'found',
    full: earlier.full,
    last: true,
    wantedRevision: later.wantedRevision ?? earlier.wantedRevision,
    sets: [...sets.values()],
  }
}

export interface FoundQueueDeps {
  readonly hostId: HostId
  readonly sessionId: string
  readonly world: World
  readonly events: HostEvents
  readonly clock: Clock
  readonly log: Log
  /** The revision from which on the host knows that it is not to have a set; undefined: it was not told so. */
  readonly goneAt: (setId: string) => number | undefined
  /** Resolves when the previous session of this host has recorded its last report. */
  readonly after: () => Promise<void>
  /** Nothing that the host has is of an older placement; told again with each report while the host is returning. */
  readonly onClean: () => Promise<void>
  readonly onViolation: (reason: string) => void
  readonly onDefect: (error: unknown) => void
}

/** Records the reports of one session, one at a time and in order. */
export class FoundQueue {
  readonly #deps: FoundQueueDeps
  readonly #stop = new AbortController()
  #pending: FoundReport | undefined
  /** Parts of a full report whose last part has not come yet. */
  #parts: FoundReport | undefined
  #running: Promise<void> | undefined
  /** What the host still has of placements that do not count; undefined until it has told everything. */
  #leftovers: Set<string> | undefined
  /** What the host has, of whatever placement; undefined until it has told everything. */
  #present: Set<string> | undefined
  #staleReports = 0

  constructor(deps: FoundQueueDeps) {
    this.#deps = deps
  }

  add(part: FoundReport): void {
    const report = this.#assembled(part)
    if (report === undefined) return
    this.#pending = this.#pending === undefined ? report : mergeReports(this.#pending, report)
    if (this.#pending.sets.length > PENDING_SETS_MAX) {
      this.#deps.onViolation(`more than ${PENDING_SETS_MAX} sets reported`)
      return
    }
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  /** A report in one message, or all of one that was cut; undefined until its last part is here. */
  #assembled(part: FoundReport): FoundReport | undefined {
    if (!part.full || (part.last && this.#parts === undefined)) return part
    const sets = [...(this.#parts?.sets ?? []), ...part.sets]
    this.#parts = part.last ? undefined : { ...part, sets }
    if (part.last) return { ...part, sets }
    if (sets.length > PENDING_SETS_MAX)
      this.#deps.onViolation(`more than ${PENDING_SETS_MAX} sets reported`)
    return undefined
  }

  /** What waits is dropped: the host's next session begins with a full report. */
  stop(): void {
    this.#pending = undefined
    this.#stop.abort()
  }

  /** Resolves when nothing is being recorded. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    await this.#deps.after()
    while (this.#pending !== undefined) {
      const report = this.#pending
      this.#pending = undefined
      try {
        await this.#record(report)
      } catch (error) {
        if (this.#stop.signal.aborted) return
        if (!isPlatformError(error) || error.kind !== 'unavailable') {
          this.#deps.onDefect(error)
          return
        }
        this.#deps.log.warn('a report could not be recorded; it is tried again', { error })
        await sleep(this.#deps.clock, RETRY_MS, this.#stop.signal).catch(() => undefined)
        if (this.#stop.signal.aborted) return
        this.#pending = this.#pending === undefined ? report : mergeReports(report, this.#pending)
      }
    }
  }

  async #record(report: FoundReport): Promise<void> {
    const { world, hostId, events, goneAt } = this.#deps
    if (report.wantedRevision !== null && report.wantedRevision > world.revision) {
      // Said by another server a moment ago, or invented: what it makes look wrong is refused below.
      await world.reached(report.wantedRevision, REVISION_WAIT_MS).catch(() => undefined)
    }
    const admissible = this.#admissible(report)
    if (this.#stop.signal.aborted || admissible === undefined) return
    this.#present = presentAfter(report, this.#present)
    const left = vacated(world, { hostId, report, present: this.#present, goneAt })
    const sets = [
      ...admissible,
      ...left.filter(({ id }) => !admissible.some((found) => found.id === id)),
    ]
    this.#leftovers = leftoversAfter(world, { hostId, report, before: this.#leftovers })
    const isClean = this.#leftovers?.size === 0 && world.host.get(hostId)?.state === 'returning'
    if (sets.length === 0 && !report.full) return isClean ? this.#deps.onClean() : undefined
    // What was refused was spoken of all the same: it is not gone.
    const mentioned = new Set(report.sets.map((found) => found.id))
    await events.recordFound(hostId, {
      sets,
      full: report.full,
      mentioned,
      sessionId: this.#deps.sessionId,
    })
    if (isClean) await this.#deps.onClean()
  }

  /** Undefined after a violation. */
  #admissible(report: FoundReport): FoundSet[] | undefined {
    const { world, hostId, log, onViolation } = this.#deps
    const admissible: FoundSet[] = []
    const refused: { set: string; epoch: number; verdict: Verdict }[] = []
    for (const found of report.sets) {
      const verdict = judgeFound(world, hostId, found)
      if (verdict === 'current') admissible.push(found)
      else if (verdict === 'foreign') {
        onViolation(`set ${found.id} at epoch ${found.epoch} is on another host`)
        return undefined
      } else if (!isGoing(found, verdict))
        refused.push({ set: found.id, epoch: found.epoch, verdict })
    }
    if (refused.length === 0) return admissible
    log.warn('reports of sets were refused', { count: refused.length, first: refused[0] })
    this.#staleReports++
    if (this.#staleReports <= STALE_REPORTS_MAX) return admissible
    onViolation('it goes on reporting epochs that do not count')
    return undefined
  }
}

/**
 * What a host has of placements that are not its own (any more), after a report. Pure; undefined while the host has not
 * said everything it has.
 */
export function leftoversAfter(
  world: World,
  said: { hostId: HostId; report: FoundReport; before: ReadonlySet<string> | undefined },
): Set<string> | undefined {
  const { hostId, report, before } = said
  if (!report.full && before === undefined) return undefined
  const left = new Set(report.full ? [] : before)
  for (const found of report.sets) {
    if (found.state === 'absent' || judgeFound(world, hostId, found) === 'current')
      left.delete(found.id)
    else left.add(found.id)
  }
  return left
}

/** What a host has after a report. Pure; undefined while it has not said everything it has. */
export function presentAfter(
  report: FoundReport,
  before: ReadonlySet<string> | undefined,
): Set<string> | undefined {
  if (!report.full && before === undefined) return undefined
  const present = new Set(report.full ? [] : before)
  for (const found of report.sets) {
    if (found.state === 'absent') present.delete(found.id)
    else present.add(found.id)
  }
  return present
}

/**
 * Sets that are to leave the host, or are removed, and of which it has nothing, though it does not say so: it had said it
 * to a session that ended or of an older placement, or it never had them. That counts only from a host that knows that it
 * is to have them no more, since one that does not could start them at any moment. Pure.
 */
export function vacated(
  world: World,
  said: {
    hostId: HostId
    report: FoundReport
    present: ReadonlySet<string> | undefined
    goneAt: FoundQueueDeps['goneAt']
  },
): FoundSet[] {
  const { hostId, report, present, goneAt } = said
  const revision = report.wantedRevision
  if (present === undefined || revision === null) return []
  const leaving = world.set
    .by('leaving', hostId)
    .filter((set) => set.leaving !== null && set.leaving.revision <= revision)
  const removed = world.set
    .by('host', hostId)
    .filter((set) => set.wanted === 'removed' && (goneAt(set.id) ?? Infinity) <= revision)
  return [...new Set([...leaving, ...removed])]
    .filter(({ id }) => !present.has(id))
    .map(({ id, epoch, wanted, generation }) => ({
      id,
      epoch,
      generation: wanted === 'removed' ? generation : 0,
      state: 'absent' as const,
      progress: '',
      reason: null,
      containers: [],
    }))
}

/** The end of what no longer counts, or the echo of a set whose end was recorded, is no offence. */
function isGoing(found: FoundSet, verdict: Verdict): boolean {
  if (verdict === 'unknown') return true
  return verdict === 'stale' && (found.state === 'stopping' || found.state === 'absent')
}
