import type {
  FoundContainer as ContainerReport,
  FoundReason,
  WantedContainer,
  WantedSet,
} from '@nubo/contracts/host'
import type { FoundContainer, FoundSet } from '../drivers/set/set-driver.ts'
import { containerMemory, type ContainerMemory, type SetMemory } from './set-memory.ts'

/** After a failure a container has to run for so long before it counts as running again: no flapping. */
const SETTLE_MS = 1_000
/** A container that failed so often in a row, with nothing else running, makes its set `failed`. */
const FAILURES_HOPELESS = 3

/** What a decision needs to know of one container that is meant to run. */
export interface ContainerView {
  readonly name: string
  readonly report: ContainerReport
  readonly needs: 'start' | 'stop' | 'probe' | 'nothing'
  /** For `start`: not before. */
  readonly notBeforeMs: number
  /** When its view changes by time alone; Infinity if it does not. */
  readonly wakeAtMs: number
  readonly runKey: string | null
  readonly isRunning: boolean
  /** Containers of the next index may start. */
  readonly isSatisfied: boolean
  /** It ended well and stays so. */
  readonly isDone: boolean
  readonly isFailing: boolean
  /** It will hardly run without a change. */
  readonly isHopeless: boolean
  readonly reason: FoundReason | null
}

/** Looks at every wanted container of a set, in the wanted order. */
export function judgeContainers(options: {
  readonly wanted: WantedSet
  readonly found: FoundSet | null
  readonly memory: SetMemory
  readonly nowMs: number
}): ContainerView[] {
  const { wanted, found, memory, nowMs } = options
  const isSandboxUp = found?.pause === 'running'
  return wanted.containers.map((container) => {
    const seen = isSandboxUp
      ? found.containers.find(({ name }) => name === container.name)
      : undefined
    return judgeContainer(container, seen, containerMemory(memory, container.name), nowMs)
  })
}

/** The index whose containers may start now: the lowest that has one which does not run, or runs and is not healthy. */
export function firstUnsatisfiedIndex(wanted: WantedSet, views: readonly ContainerView[]): number {
  const unsatisfied = wanted.containers.filter(
    ({ name }) => views.find((view) => view.name === name)?.isSatisfied !== true,
  )
  return Math.min(...unsatisfied.map(({ index }) => index))
}

function judgeContainer(
  wanted: WantedContainer,
  found: FoundContainer | undefined,
  memory: ContainerMemory,
  nowMs: number,
): ContainerView {
  const base = {
    name: wanted.name,
    notBeforeMs: memory.notBeforeMs,
    runKey: memory.run?.key ?? null,
    reason: memory.reason,
  }
  const report = {
    name: wanted.name,
    restarts: memory.restarts,
    exitCode: memory.exitCode,
    health: wanted.healthCheck === null ? ('none' as const) : memory.health.status,
    reason: memory.reason,
    startedAtMs:
      found === undefined || found.startedAtMs === null ? null : Math.floor(found.startedAtMs),
  }
  if (found?.state === 'running') return { ...base, ...judgeRunning(wanted, memory, nowMs, report) }
  const notRunning = { isRunning: false, wakeAtMs: Infinity }
  if (memory.isDone) {
    const isFailing = memory.reason !== null
    return {
      ...base,
      ...notRunning,
      needs: 'nothing',
      isSatisfied: !isFailing,
      isDone: !isFailing,
      isFailing,
      isHopeless: isFailing,
      report: { ...report, state: 'stopped' },
    }
  }
  const isFailing = memory.failuresInRow > 0
  const isBackingOff = isFailing && nowMs < memory.notBeforeMs
  const hasNeverRun = memory.reason !== null && memory.judgedRun === null
  return {
    ...base,
    ...notRunning,
    needs: 'start',
    wakeAtMs: isBackingOff ? memory.notBeforeMs : Infinity,
    isSatisfied: false,
    isDone: false,
    isFailing,
    isHopeless: isFailing && (hasNeverRun || memory.failuresInRow >= FAILURES_HOPELESS),
    report: { ...report, state: isBackingOff ? 'backoff' : isFailing ? 'starting' : 'waiting' },
  }
}

function judgeRunning(
  wanted: WantedContainer,
  memory: ContainerMemory,
  nowMs: number,
  report: Omit<ContainerReport, 'state'>,
): Omit<ContainerView, 'name' | 'notBeforeMs' | 'runKey' | 'reason'> {
  const { health } = memory
  const settledAtMs = memory.failuresInRow > 0 ? (memory.run?.seenAtMs ?? nowMs) + SETTLE_MS : nowMs
  const isSettled = nowMs >= settledAtMs
  const hasCheck = wanted.healthCheck !== null
  const isHealthy = !hasCheck || health.status === 'healthy'
  const mustStop = memory.stopsBecause !== null
  const isProbeDue = hasCheck && !health.isProbing && !mustStop && nowMs >= health.nextProbeAtMs
  const isFailing = !isSettled || (hasCheck && health.status === 'unhealthy')
  const probeAtMs = hasCheck && !health.isProbing && !isProbeDue ? health.nextProbeAtMs : Infinity
  return {
    needs: mustStop ? 'stop' : isProbeDue ? 'probe' : 'nothing',
    wakeAtMs: Math.min(probeAtMs, isSettled ? Infinity : settledAtMs),
    isRunning: isSettled,
    isSatisfied: isSettled && isHealthy,
    isDone: false,
    isFailing,
    isHopeless: isFailing && memory.failuresInRow >= FAILURES_HOPELESS,
    report: {
      ...report,
      state: isSettled ? 'running' : 'starting',
      // The last failure is history once it runs again; the count of restarts keeps it.
      reason: isFailing ? report.reason : null,
    },
  }
}
