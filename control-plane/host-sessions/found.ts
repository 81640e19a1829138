import { isPlatformError, sleep, type Clock, type HostId } from '@nubo/base'
import type { FoundInstance, FoundReport } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import { instancesBy, kindOf, type InstanceKind, type World } from '../world/index.ts'
import { nothingOf } from '../domains/compute/index.ts'
import type { HostEvents } from './needs.ts'

/** Reports that came while one was being recorded are merged; a host cannot have more than this. */
const PENDING_MAX = 10_000
/** How long a report may refer to a revision that this process has not seen yet. */
const REVISION_WAIT_MS = 2_000
const RETRY_MS = 500
/**
 * Reports about a placement that no longer counts are refused. An honest agent may send some while the news travels
 * (one batch in 50 ms, so a second's worth); one that goes on breaks the contract.
 */
export const STALE_REPORTS_MAX = 20

/**
 * `current`: it is on this host at this epoch. `stale`: an older epoch, or it has no host now. `ahead`: an
 * epoch or generation that was never given out. `foreign`: the present placement of another host. `unknown`: there is no such instance.
 */
export type Verdict = 'current' | 'stale' | 'ahead' | 'foreign' | 'unknown'

export function judgeFound(
  world: World,
  hostId: HostId,
  found: Pick<FoundInstance, 'kind' | 'id' | 'epoch' | 'generation'>,
): Verdict {
  const row = world[found.kind].get(found.id)
  if (row === undefined) return 'unknown'
  if (found.epoch > row.epoch || found.generation > row.generation) return 'ahead'
  if (found.epoch < row.epoch || row.hostId === null) return 'stale'
  return row.hostId === hostId ? 'current' : 'foreign'
}

/** The later report says more; a full one says all. */
export function mergeReports(earlier: FoundReport, later: FoundReport): FoundReport {
  if (later.full) return later
  const instances = new Map(
    [...earlier.instances, ...later.instances].map((found) => [found.id, found]),
  )
  return {
    type: 'found',
    full: earlier.full,
    last: true,
    wantedRevision: later.wantedRevision ?? earlier.wantedRevision,
    instances: [...instances.values()],
  }
}

export interface FoundQueueDeps {
  readonly hostId: HostId
  readonly sessionId: string
  readonly world: World
  readonly events: HostEvents
  readonly clock: Clock
  readonly log: Log
  /** The revision from which on the host knows that it is not to have an instance; undefined: it was not told so. */
  readonly goneAt: (ref: { kind: InstanceKind; id: string }) => number | undefined
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
    if (this.#pending.instances.length > PENDING_MAX) {
      this.#deps.onViolation(`more than ${PENDING_MAX} instances reported`)
      return
    }
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  /** A report in one message, or all of one that was cut; undefined until its last part is here. */
  #assembled(part: FoundReport): FoundReport | undefined {
    if (!part.full || (part.last && this.#parts === undefined)) return part
    const instances = [...(this.#parts?.instances ?? []), ...part.instances]
    this.#parts = part.last ? undefined : { ...part, instances }
    if (part.last) return { ...part, instances }
    if (instances.length > PENDING_MAX)
      this.#deps.onViolation(`more than ${PENDING_MAX} instances reported`)
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
    const instances = [
      ...admissible,
      ...left.filter(({ id }) => !admissible.some((found) => found.id === id)),
    ]
    this.#leftovers = leftoversAfter(world, { hostId, report, before: this.#leftovers })
    const isClean = this.#leftovers?.size === 0 && world.host.get(hostId)?.state === 'returning'
    if (instances.length === 0 && !report.full) return isClean ? this.#deps.onClean() : undefined
    // What was refused was spoken of all the same: it is not gone.
    const mentioned = new Set(report.instances.map((found) => found.id))
    await events.recordFound(hostId, {
      instances,
      full: report.full,
      mentioned,
      sessionId: this.#deps.sessionId,
    })
    if (isClean) await this.#deps.onClean()
  }

  /** Undefined after a violation. */
  #admissible(report: FoundReport): FoundInstance[] | undefined {
    const { world, hostId, log, onViolation } = this.#deps
    const admissible: FoundInstance[] = []
    const refused: { id: string; epoch: number; verdict: Verdict }[] = []
    for (const found of report.instances) {
      const verdict = judgeFound(world, hostId, found)
      if (verdict === 'current') admissible.push(found)
      else if (verdict === 'foreign') {
        onViolation(`${found.kind} ${found.id} at epoch ${found.epoch} is on another host`)
        return undefined
      } else if (!isGoing(found, verdict))
        refused.push({ id: found.id, epoch: found.epoch, verdict })
    }
    if (refused.length === 0) return admissible
    log.warn('reports of instances were refused', { count: refused.length, first: refused[0] })
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
  for (const found of report.instances) {
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
  for (const found of report.instances) {
    if (found.state === 'absent') present.delete(found.id)
    else present.add(found.id)
  }
  return present
}

/**
 * Instances that are to leave the host, or are removed, and of which it has nothing, though it does not say so: it had said it
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
): FoundInstance[] {
  const { hostId, report, present, goneAt } = said
  const revision = report.wantedRevision
  if (present === undefined || revision === null) return []
  const leaving = instancesBy(world, 'leaving', hostId).filter(
    (row) => row.leaving !== null && row.leaving.revision <= revision,
  )
  const removed = instancesBy(world, 'host', hostId).filter(
    (row) =>
      row.wanted === 'removed' &&
      (goneAt({ kind: kindOf(row), id: row.id }) ?? Infinity) <= revision,
  )
  return [...new Set([...leaving, ...removed])]
    .filter(({ id }) => !present.has(id))
    .map((row) =>
      nothingOf(row, {
        state: 'absent',
        generation: row.wanted === 'removed' ? row.generation : 0,
      }),
    )
}

/** The end of what no longer counts, or the echo of one whose end was recorded, is no offence. */
function isGoing(found: FoundInstance, verdict: Verdict): boolean {
  if (verdict === 'unknown') return true
  return verdict === 'stale' && (found.state === 'stopping' || found.state === 'absent')
}
