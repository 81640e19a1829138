import type { WantedContainer } from '@nubo/contracts/host'
import { containerMemory, withContainer, type HealthMemory, type SetMemory } from './set-memory.ts'

type HealthCheck = NonNullable<WantedContainer['healthCheck']>

/** A starting container is asked this often, so that a set is ready soon after it could be. */
const STARTING_PROBE_MS = 500
const FIRST_PROBE_MS = 100

export function firstProbeAtMs(check: HealthCheck | null, nowMs: number): number {
  return check === null ? Infinity : nowMs + Math.min(FIRST_PROBE_MS, check.intervalMs)
}

export function beginProbe(memory: SetMemory, name: string): SetMemory {
  const { health } = containerMemory(memory, name)
  return withContainer(memory, name, { health: { ...health, isProbing: true } })
}

/**
 * Takes in the answer of a probe that was begun in the run `runKey`. An answer about an earlier run counts for nothing.
 * `isOk` null: the check could not be made; it is made again and says nothing about the container.
 */
export function afterProbe(options: {
  readonly memory: SetMemory
  readonly name: string
  readonly check: HealthCheck
  readonly runKey: string
  readonly isOk: boolean | null
  readonly nowMs: number
}): SetMemory {
  const before = containerMemory(options.memory, options.name)
  if (before.run === null || before.run.key !== options.runKey) return options.memory
  const health = judgeProbe({ ...options, health: before.health, runSeenAtMs: before.run.seenAtMs })
  const isBroken = health.status === 'unhealthy' && before.health.status !== 'unhealthy'
  return withContainer(options.memory, options.name, {
    health,
    ...(isBroken ? { stopsBecause: 'unhealthy' as const } : {}),
  })
}

function judgeProbe(options: {
  readonly health: HealthMemory
  readonly check: HealthCheck
  readonly isOk: boolean | null
  readonly runSeenAtMs: number
  readonly nowMs: number
}): HealthMemory {
  const { health, check, isOk, nowMs } = options
  const paceMs =
    health.status === 'starting' ? Math.min(check.intervalMs, STARTING_PROBE_MS) : check.intervalMs
  const next = { ...health, isProbing: false, nextProbeAtMs: nowMs + paceMs }
  if (isOk === null) return next
  if (isOk)
    return {
      ...next,
      status: 'healthy',
      failures: 0,
      nextProbeAtMs: nowMs + check.intervalMs,
      mayCountAtMs: nowMs,
    }
  const isEarly = nowMs - options.runSeenAtMs < check.startPeriodMs
  if (isEarly || nowMs < health.mayCountAtMs) return next
  const failures = health.failures + 1
  return {
    ...next,
    failures,
    status: failures >= check.failuresMax ? 'unhealthy' : health.status,
    mayCountAtMs: nowMs + check.intervalMs,
  }
}
