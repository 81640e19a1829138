import type { FoundReason, WantedContainer, WantedSet } from '@nubo/contracts/host'
import type { FoundContainer, FoundSet } from '../drivers/set/set-driver.ts'
import {
  BACKOFF_FIRST_MS,
  backoffMs,
  RUN_IS_STABLE_MS,
  SETBACK_FIRST_MS,
  SETBACK_MAX_MS,
} from './backoff.ts'
import { firstProbeAtMs } from './health.ts'
import {
  containerMemory,
  newHealthMemory,
  withContainer,
  type ContainerMemory,
  type SetMemory,
} from './set-memory.ts'

/** What names one run of a container: another start is another run. */
function runKey(found: FoundContainer): string {
  return `${found.containerId} ${found.startedAtMs ?? 0}`
}

/**
 * Takes in what was found: runs that began, runs that ended (each judged once by the container's restart rule), and
 * the restart count. `isMeantToRun` false: ends are on purpose and count for nothing.
 */
export function observe(options: {
  readonly memory: SetMemory
  readonly wanted: WantedSet
  readonly found: FoundSet | null
  readonly isMeantToRun: boolean
  readonly nowMs: number
}): SetMemory {
  const { wanted, found, isMeantToRun, nowMs } = options
  let memory = options.memory
  for (const container of wanted.containers) {
    const before = containerMemory(memory, container.name)
    // Members of a dead pause ended with it; that is dealt with for the set as a whole.
    const seen =
      found?.pause === 'running'
        ? found.containers.find(({ name }) => name === container.name)
        : undefined
    const after = isMeantToRun
      ? observeContainer(before, container, seen, nowMs)
      : observeStopped(before, seen)
    if (after !== before) memory = withContainer(memory, container.name, after)
  }
  return memory
}

function observeContainer(
  before: ContainerMemory,
  wanted: WantedContainer,
  found: FoundContainer | undefined,
  nowMs: number,
): ContainerMemory {
  // One that was made, or whose start was refused: there was no run.
  if (found === undefined || found.startedAtMs === null) return before
  const key = runKey(found)
  let memory = before
  if (before.run?.key !== key) memory = beginRun(before, wanted, key, nowMs)
  if (found.state === 'exited')
    return memory.judgedRun === key ? memory : judge(memory, wanted, found, nowMs)
  const ranMs = nowMs - (memory.run?.seenAtMs ?? nowMs)
  return ranMs >= RUN_IS_STABLE_MS && memory.failuresInRow > 0
    ? { ...memory, failuresInRow: 0 }
    : memory
}

function beginRun(
  before: ContainerMemory,
  wanted: WantedContainer,
  key: string,
  nowMs: number,
): ContainerMemory {
  const health = {
    ...newHealthMemory,
    // A run that this agent did not start was fine until its earlier life ended, or would have been restarted then.
    status: before.isStartExpected ? ('starting' as const) : ('healthy' as const),
    nextProbeAtMs: firstProbeAtMs(wanted.healthCheck, nowMs),
    // No stricter than a checker that asks once per interval, the first time after one.
    mayCountAtMs: nowMs + (wanted.healthCheck?.intervalMs ?? 0),
  }
  return {
    ...before,
    run: { key, seenAtMs: nowMs },
    isStartExpected: false,
    isDone: false,
    stopsBecause: null,
    health,
  }
}

function judge(
  memory: ContainerMemory,
  wanted: WantedContainer,
  found: FoundContainer,
  nowMs: number,
): ContainerMemory {
  const wasStoppedByUs = memory.stopsBecause === 'unhealthy'
  const isFailure = wasStoppedByUs || found.exitCode !== 0 || found.oomKilled
  const restarts =
    wasStoppedByUs ||
    wanted.restart.policy === 'always' ||
    (wanted.restart.policy === 'on-failure' && isFailure)
  const ended: ContainerMemory = {
    ...memory,
    judgedRun: runKey(found),
    stopsBecause: null,
    exitCode: found.exitCode,
    reason: isFailure || restarts ? exitReason(found, wasStoppedByUs) : null,
  }
  if (!restarts) return { ...ended, isDone: true }
  const ranMs =
    found.startedAtMs === null || found.finishedAtMs === null
      ? 0
      : found.finishedAtMs - found.startedAtMs
  const failuresInRow = (ranMs >= RUN_IS_STABLE_MS ? 0 : memory.failuresInRow) + 1
  return {
    ...ended,
    restarts: memory.restarts + 1,
    failuresInRow,
    notBeforeMs: nowMs + restartPauseMs(wanted, failuresInRow),
  }
}

/** Whatever has ended by the time that it is meant to run again starts at once, and does not count as a restart. */
function observeStopped(
  before: ContainerMemory,
  found: FoundContainer | undefined,
): ContainerMemory {
  const judgedRun =
    found === undefined || found.state !== 'exited' ? before.judgedRun : runKey(found)
  const isClean =
    before.judgedRun === judgedRun &&
    before.failuresInRow === 0 &&
    !before.isDone &&
    before.reason === null &&
    before.stopsBecause === null &&
    before.notBeforeMs === 0
  if (isClean) return before
  return {
    ...before,
    judgedRun,
    failuresInRow: 0,
    notBeforeMs: 0,
    isDone: false,
    isStartExpected: false,
    stopsBecause: null,
    reason: null,
    exitCode: found?.exitCode ?? before.exitCode,
  }
}

function exitReason(found: FoundContainer, wasUnhealthy: boolean): FoundReason {
  if (wasUnhealthy)
    return { code: 'UNHEALTHY', text: 'The health check kept failing; the container is restarted.' }
  if (found.error !== null) return { code: 'CONTAINER_START_FAILED', text: found.error }
  if (found.oomKilled)
    return { code: 'OUT_OF_MEMORY', text: 'The kernel ended it at its memory limit.' }
  return {
    code: 'CONTAINER_EXITED',
    text: `It ended with exit code ${found.exitCode ?? 'unknown'}.`,
  }
}

function restartPauseMs(wanted: WantedContainer, failures: number): number {
  return backoffMs({ failures, firstMs: BACKOFF_FIRST_MS, maxMs: wanted.restart.backoffMaxMs })
}

// ---- outcomes of actions ----

/** The engine has taken the start; the next look will see the run. */
export function afterStart(memory: SetMemory, name: string): SetMemory {
  return withContainer(memory, name, { isStartExpected: true })
}

/** The engine refused to start the container. A rule of `never` does not forbid to try again: it has not run. */
export function afterStartFailed(
  memory: SetMemory,
  wanted: WantedContainer,
  reason: FoundReason,
  nowMs: number,
): SetMemory {
  const before = containerMemory(memory, wanted.name)
  const failuresInRow = before.failuresInRow + 1
  return withContainer(memory, wanted.name, {
    failuresInRow,
    reason,
    isStartExpected: false,
    notBeforeMs: nowMs + restartPauseMs(wanted, failuresInRow),
  })
}

/**
 * Everything of the set is gone from the host, to be made anew. Containers that had run under the same specification
 * will be running once more; what is done stays done.
 */
export function afterRemove(memory: SetMemory): SetMemory {
  const containers = new Map<string, ContainerMemory>()
  for (const [name, before] of memory.containers)
    containers.set(name, {
      ...before,
      restarts: before.restarts + (before.run === null || before.isDone ? 0 : 1),
      run: null,
      judgedRun: null,
      stopsBecause: null,
      isStartExpected: false,
    })
  return { ...memory, containers }
}

/** A step of the whole set failed. */
export function afterSetback(memory: SetMemory, reason: FoundReason, nowMs: number): SetMemory {
  const failures = (memory.setback?.failures ?? 0) + 1
  const pauseMs = backoffMs({ failures, firstMs: SETBACK_FIRST_MS, maxMs: SETBACK_MAX_MS })
  return { ...memory, setback: { reason, failures, notBeforeMs: nowMs + pauseMs } }
}

export function withoutSetback(memory: SetMemory): SetMemory {
  return memory.setback === null ? memory : { ...memory, setback: null }
}
