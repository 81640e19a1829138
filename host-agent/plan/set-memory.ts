import type { FoundReason } from '@nubo/contracts/host'

/** What the agent remembers of a health check in the present run of a container. */
export interface HealthMemory {
  readonly status: 'starting' | 'healthy' | 'unhealthy'
  /** Counted failures in a row. */
  readonly failures: number
  readonly isProbing: boolean
  readonly nextProbeAtMs: number
  /** While a container starts it is asked more often than its interval; only one failure per interval counts. */
  readonly mayCountAtMs: number
}

/** What the agent remembers of a container between two looks at it. Times are of the monotonic clock. */
export interface ContainerMemory {
  /** Starts after the first one that were not asked for by a user. */
  readonly restarts: number
  /** Starts in a row that were refused or ended within RUN_IS_STABLE_MS. */
  readonly failuresInRow: number
  readonly notBeforeMs: number
  /** The run that was looked at last, and when it was seen first; null before the first. */
  readonly run: { readonly key: string; readonly seenAtMs: number } | null
  /** The run whose end has been dealt with. */
  readonly judgedRun: string | null
  /** The agent has started it and not seen it run yet. */
  readonly isStartExpected: boolean
  /** It ended and its restart rule leaves it so. */
  readonly isDone: boolean
  /** Why the agent is stopping it, where that is not what the user wants. */
  readonly stopsBecause: 'unhealthy' | null
  readonly reason: FoundReason | null
  readonly exitCode: number | null
  readonly health: HealthMemory
}

/** A step of the whole set that failed and when it may be tried again. */
interface Setback {
  readonly reason: FoundReason
  readonly failures: number
  readonly notBeforeMs: number
}

export interface SetMemory {
  readonly containers: ReadonlyMap<string, ContainerMemory>
  readonly setback: Setback | null
  /** Epoch and specification of the containers' memory; another one begins from nothing. */
  readonly incarnation: string | null
}

export const emptySetMemory: SetMemory = {
  containers: new Map(),
  setback: null,
  incarnation: null,
}

export const newHealthMemory: HealthMemory = {
  status: 'starting',
  failures: 0,
  isProbing: false,
  nextProbeAtMs: 0,
  mayCountAtMs: 0,
}

export const newContainerMemory: ContainerMemory = {
  restarts: 0,
  failuresInRow: 0,
  notBeforeMs: 0,
  run: null,
  judgedRun: null,
  isStartExpected: false,
  isDone: false,
  stopsBecause: null,
  reason: null,
  exitCode: null,
  health: newHealthMemory,
}

export function containerMemory(memory: SetMemory, name: string): ContainerMemory {
  return memory.containers.get(name) ?? newContainerMemory
}

export function withContainer(
  memory: SetMemory,
  name: string,
  change: Partial<ContainerMemory>,
): SetMemory {
  const containers = new Map(memory.containers)
  containers.set(name, { ...containerMemory(memory, name), ...change })
  return { ...memory, containers }
}
