import type {
  FoundReason,
  FoundSet as Report,
  WantedContainer,
  WantedSet,
} from '@nubo/contracts/host'
import type { FoundSet } from '../drivers/set/set-driver.ts'
import type { Permission } from '../wanted/placement-gate.ts'
import { firstUnsatisfiedIndex, judgeContainers, type ContainerView } from './container-view.ts'
import { observe, withoutSetback } from './observe.ts'
import { reportOf, type Obstacle } from './report.ts'
import { emptySetMemory, type SetMemory } from './set-memory.ts'

/** What is known of an image on this host. */
export type ImageState =
  | { readonly at: 'unknown' | 'ready' }
  | { readonly at: 'pulling'; readonly progress: string }
  | { readonly at: 'failed'; readonly reason: FoundReason; readonly retryAtMs: number }

/** All that a decision about one set rests on. Times are of the monotonic clock. */
export interface SetSituation {
  readonly setId: string
  /** Null: the set shall not be here. */
  readonly wanted: WantedSet | null
  /** What was wanted of it last, in this life of the agent; null if that is not known. */
  readonly lastWanted: WantedSet | null
  readonly permission: Permission
  /** Null: nothing of it is on the host. */
  readonly found: FoundSet | null
  /** Why the container engine cannot be asked; then `found` is what it last said, or null if it never did. */
  readonly engineTrouble: FoundReason | null
  /** What the set would be started with; null while something that it needs is not known. */
  readonly spec: { readonly hash: string } | null
  /** What `spec` waits for, for a person. */
  readonly missing: string
  readonly image: (digest: string) => ImageState
  /** Whether the switch forwards for every port of the set. */
  readonly ports: {
    readonly areAttached: boolean
    readonly areReady: boolean
    readonly trouble: FoundReason | null
  }
  readonly memory: SetMemory
  /** What was last reported of it; null if nothing ever was. */
  readonly reported: Report | null
  readonly nowMs: number
}

/** Steps of one decision are taken at the same time; when all have ended, the set is looked at again. */
export type SetAction =
  /** Runs on in the background: a slow image holds nothing up. */
  | { readonly do: 'ensure-image'; readonly image: WantedContainer['image'] }
  | { readonly do: 'start-sandbox' }
  | { readonly do: 'attach-ports' }
  | { readonly do: 'start-container'; readonly name: string }
  | { readonly do: 'stop-container'; readonly name: string; readonly timeoutMs: number }
  | { readonly do: 'remove' }
  /** Runs on in the background. */
  | { readonly do: 'probe'; readonly name: string; readonly runKey: string }

export interface SetPlan {
  readonly actions: readonly SetAction[]
  /** When to look again without being woken; null: not by time. */
  readonly wakeAtMs: number | null
  readonly report: Report | null
  readonly memory: SetMemory
}

/** Of a container whose specification was lost with an earlier life of the agent. */
const STOP_TIMEOUT_DEFAULT_MS = 10_000
/** Of a set that may not run here any more. The lease guard ends without grace what is left a few seconds later. */
const HELD_STOP_TIMEOUT_MS = 2_000

const notForwarding: FoundReason = {
  code: 'ENGINE_UNAVAILABLE',
  text: 'The switch does not forward for the set at the moment.',
}

/** Decides what to do for one set. Pure. */
export function planSet(situation: SetSituation): SetPlan {
  const { wanted } = situation
  if (wanted === null) return planAbsent(situation)
  const isMeantToRun = wanted.run === 'running' && situation.permission === 'granted'
  if (situation.engineTrouble !== null)
    return waiting(situation, wanted, situation.memory, {
      reason: situation.engineTrouble,
      isKnown: situation.found !== null,
    })
  const memory = observe({
    memory: incarnated(situation, wanted),
    wanted,
    found: situation.found,
    // What ends while a set is remade ends because it was told to.
    isMeantToRun: isMeantToRun && !isOutdated(situation, wanted),
    nowMs: situation.nowMs,
  })
  const found = situation.found
  if (found !== null && found.epoch > wanted.epoch)
    return waiting(situation, wanted, memory, {
      reason: {
        code: 'NOT_ALLOWED_NOW',
        text: `The host runs placement ${found.epoch} of the set; ${wanted.epoch} is older.`,
      },
      isKnown: true,
    })
  if (!isMeantToRun) return planStopped(situation, wanted, memory)
  return planRunning(situation, wanted, memory)
}

/** What is on the host belongs to an earlier placement or specification. */
function isOutdated({ found, spec }: SetSituation, wanted: WantedSet): boolean {
  return (
    found !== null &&
    (found.epoch < wanted.epoch || (spec !== null && found.specHash !== spec.hash))
  )
}

/** The memory of another epoch or specification says nothing about this one. */
function incarnated(situation: SetSituation, wanted: WantedSet): SetMemory {
  if (situation.spec === null) return situation.memory
  const incarnation = `${wanted.epoch} ${situation.spec.hash}`
  if (situation.memory.incarnation === incarnation) return situation.memory
  if (situation.memory.incarnation === null) return { ...situation.memory, incarnation }
  return { ...emptySetMemory, setback: situation.memory.setback, incarnation }
}

// ---- not wanted ----

function planAbsent(situation: SetSituation): SetPlan {
  const { found, memory, nowMs, reported } = situation
  const last = reported ?? {
    kind: 'set' as const,
    id: situation.setId,
    epoch: found?.epoch ?? 1,
    generation: 0,
    state: 'stopping' as const,
    progress: '',
    reason: null,
    containers: [],
  }
  if (situation.engineTrouble !== null)
    return {
      actions: [],
      wakeAtMs: null,
      memory,
      report: { ...last, state: 'stopping', reason: situation.engineTrouble },
    }
  if (found === null) {
    const isTold = reported === null || reported.state === 'absent'
    const gone: Report = { ...last, state: 'absent', progress: '', reason: null, containers: [] }
    return { actions: [], wakeAtMs: null, memory, report: isTold ? null : gone }
  }
  const isPaused = memory.setback !== null && nowMs < memory.setback.notBeforeMs
  return {
    actions: isPaused ? [] : removalSteps(situation, found),
    wakeAtMs: isPaused ? (memory.setback?.notBeforeMs ?? null) : null,
    memory,
    report: {
      ...last,
      epoch: found.epoch,
      state: 'stopping',
      progress: 'stopping the containers',
      reason: memory.setback?.reason ?? null,
    },
  }
}

/** Ends what runs, the containers that started last first, and then removes everything. */
function removalSteps(situation: SetSituation, found: FoundSet): SetAction[] {
  // Without the sandbox the network is gone: nothing can end in good order.
  const stops = found.pause === 'running' ? stopSteps(situation, found) : []
  return stops.length > 0 ? stops : [{ do: 'remove' }]
}

function stopSteps(situation: SetSituation, found: FoundSet): SetAction[] {
  const isHeld = situation.permission !== 'granted'
  const wanted = situation.wanted ?? situation.lastWanted
  const alive = found.containers.filter(({ state }) => state === 'running')
  // Its twin may start as soon as the guarantee of this host has passed, which knows neither orders nor long goodbyes.
  if (isHeld)
    return alive.map(({ name }) => ({
      do: 'stop-container',
      name,
      timeoutMs: HELD_STOP_TIMEOUT_MS,
    }))
  const running = alive.map(({ name }) => {
    const spec = wanted?.containers.find((container) => container.name === name)
    return {
      name,
      index: spec?.index ?? 0,
      timeoutMs: spec?.stopTimeoutMs ?? STOP_TIMEOUT_DEFAULT_MS,
    }
  })
  const last = Math.max(...running.map(({ index }) => index))
  return running
    .filter(({ index }) => index === last)
    .map(({ name, timeoutMs }) => ({ do: 'stop-container', name, timeoutMs }))
}

// ---- wanted, and not to run ----

function planStopped(situation: SetSituation, wanted: WantedSet, before: SetMemory): SetPlan {
  const { found, nowMs } = situation
  const isPaused = before.setback !== null && nowMs < before.setback.notBeforeMs
  const stops = found === null ? [] : stopSteps(situation, found)
  const memory = withoutPassedSetback(before, stops, nowMs)
  const views = judgeContainers({ wanted, found, memory, nowMs })
  const held = heldBecause(situation)
  return {
    actions: isPaused ? [] : stops,
    wakeAtMs: isPaused && stops.length > 0 ? (memory.setback?.notBeforeMs ?? null) : null,
    memory,
    report: reportOf({
      wanted,
      views,
      state: stops.length > 0 ? 'stopping' : held === null ? 'stopped' : 'pending',
      progress: stops.length > 0 ? 'stopping the containers' : '',
      reason: held ?? (stops.length > 0 ? (memory.setback?.reason ?? null) : null),
    }),
  }
}

function heldBecause(situation: SetSituation): FoundReason | null {
  if (situation.wanted?.run !== 'running') return null
  switch (situation.permission) {
    case 'granted':
      return null
    case 'unconfirmed':
      return {
        code: 'NOT_ALLOWED_NOW',
        text: 'The set may run elsewhere by now; it waits until a server confirms that it belongs here.',
      }
    case 'lease-ended':
      return {
        code: 'NOT_ALLOWED_NOW',
        text: 'The host has not heard from a server for too long; the set may be started elsewhere.',
      }
  }
}

// ---- wanted and to run ----

function planRunning(situation: SetSituation, wanted: WantedSet, before: SetMemory): SetPlan {
  const { found, spec, nowMs } = situation
  let memory = before
  if (spec === null && found === null)
    return waiting(situation, wanted, memory, {
      reason: { code: 'NOT_FOUND', text: situation.missing },
      isKnown: false,
    })
  const mustRemake =
    found !== null &&
    (found.pause === 'exited' || found.pause === 'absent' || isOutdated(situation, wanted))
  const isKept = mustRemake && isKeptMeanwhile(situation, wanted)
  const isPaused = memory.setback !== null && nowMs < memory.setback.notBeforeMs
  const views = judgeContainers({ wanted, found, memory, nowMs })
  const actions: SetAction[] = []
  if (!isPaused) {
    if (isKept) actions.push(...imageSteps(situation, wanted.containers))
    else if (mustRemake) actions.push(...removalSteps(situation, found))
    else actions.push(...startSteps(situation, wanted, views))
  }
  memory = withoutPassedSetback(memory, actions, nowMs)
  const obstacle = obstacleOf(situation, wanted, memory)
  const wakes = [
    ...(isPaused ? [memory.setback?.notBeforeMs ?? nowMs] : []),
    ...(mustRemake ? [] : views.map(({ wakeAtMs }) => wakeAtMs)),
    ...wanted.containers.map(({ image }) => imageRetryAtMs(situation, image.digest)),
  ].filter((atMs) => Number.isFinite(atMs) && atMs > nowMs)
  return {
    actions,
    wakeAtMs: wakes.length === 0 ? null : Math.min(...wakes),
    memory,
    report: reportOf({
      wanted,
      views,
      ...(isKept
        ? stateOfKept(obstacle)
        : stateOfRunning({
            situation,
            views,
            obstacle,
            mustRemake,
            isSetback: memory.setback !== null,
          })),
    }),
  }
}

/**
 * What runs of the specification before goes on until every image of the new one is here: one that cannot be fetched
 * must not take the set down. Of an earlier placement nothing is kept: its twin may run.
 */
function isKeptMeanwhile({ found, image }: SetSituation, wanted: WantedSet): boolean {
  return (
    found !== null &&
    found.pause === 'running' &&
    found.epoch === wanted.epoch &&
    found.containers.some(({ state }) => state === 'running') &&
    wanted.containers.some((container) => image(container.image.digest).at !== 'ready')
  )
}

/** In the words of somebody who has just changed the set. */
function stateOfKept(obstacle: Obstacle | null): Pick<Report, 'state' | 'progress' | 'reason'> {
  const goesOn = 'what ran before the change runs on'
  switch (obstacle?.is) {
    case 'failure': {
      const { code, text } = obstacle.reason
      return { state: 'degraded', progress: '', reason: { code, text: `${text} (${goesOn})` } }
    }
    case 'pulling':
    case undefined:
      return {
        state: 'pulling',
        progress: `${obstacle?.progress || 'fetching images'}; ${goesOn}`,
        reason: null,
      }
  }
}

/** Has these images fetched that are not known to be here, each when its time has come. */
function imageSteps(situation: SetSituation, containers: readonly WantedContainer[]): SetAction[] {
  const images = new Map(containers.map(({ image }) => [image.digest, image]))
  return [...images.values()].flatMap((image): SetAction[] => {
    const state = situation.image(image.digest)
    const isDue =
      state.at === 'unknown' || (state.at === 'failed' && situation.nowMs >= state.retryAtMs)
    return isDue ? [{ do: 'ensure-image', image }] : []
  })
}

function imageRetryAtMs(situation: SetSituation, digest: string): number {
  const image = situation.image(digest)
  return image.at === 'failed' ? image.retryAtMs : Infinity
}

function startSteps(
  situation: SetSituation,
  wanted: WantedSet,
  views: readonly ContainerView[],
): SetAction[] {
  const { found, nowMs } = situation
  const actions: SetAction[] = []
  const needed = wanted.containers.filter(
    ({ name }) => views.find((view) => view.name === name)?.needs === 'start',
  )
  actions.push(...imageSteps(situation, needed))
  const first = needed.filter(({ index }) => index === firstUnsatisfiedIndex(wanted, views))
  const areImagesReady = first.every(({ image }) => situation.image(image.digest).at === 'ready')
  if (found === null || found.pause === 'incomplete') {
    // A sandbox without an image would be half a set; it costs little beside a cached image, so it waits.
    if (areImagesReady && situation.spec !== null) actions.push({ do: 'start-sandbox' })
    return actions
  }
  if (!situation.ports.areAttached) actions.push({ do: 'attach-ports' })
  for (const container of first)
    if (
      situation.spec !== null &&
      situation.image(container.image.digest).at === 'ready' &&
      nowMs >= (views.find(({ name }) => name === container.name)?.notBeforeMs ?? 0)
    )
      actions.push({ do: 'start-container', name: container.name })
  for (const view of views) {
    const spec = wanted.containers.find(({ name }) => name === view.name)
    if (view.needs === 'stop' && spec !== undefined)
      actions.push({ do: 'stop-container', name: view.name, timeoutMs: spec.stopTimeoutMs })
    if (view.needs === 'probe' && view.runKey !== null)
      actions.push({ do: 'probe', name: view.name, runKey: view.runKey })
  }
  return actions
}

/** What keeps the set as a whole from running. */
function obstacleOf(
  situation: SetSituation,
  wanted: WantedSet,
  memory: SetMemory,
): Obstacle | null {
  if (memory.setback !== null) return { is: 'failure', reason: memory.setback.reason }
  for (const { image } of wanted.containers) {
    const state = situation.image(image.digest)
    if (state.at === 'failed') return { is: 'failure', reason: state.reason }
  }
  for (const { image } of wanted.containers) {
    const state = situation.image(image.digest)
    if (state.at === 'pulling') return { is: 'pulling', progress: state.progress }
  }
  return null
}

function stateOfRunning(options: {
  readonly situation: SetSituation
  readonly views: readonly ContainerView[]
  readonly obstacle: Obstacle | null
  readonly mustRemake: boolean
  readonly isSetback: boolean
}): Pick<Report, 'state' | 'progress' | 'reason'> {
  const { situation, views, obstacle, mustRemake } = options
  const isAnyRunning = !mustRemake && views.some(({ isRunning }) => isRunning)
  const failing = views.filter(({ isFailing }) => isFailing)
  const needsImages = views.some(({ needs }) => needs === 'start')
  if (obstacle?.is === 'failure' && (needsImages || options.isSetback))
    return { state: isAnyRunning ? 'degraded' : 'failed', progress: '', reason: obstacle.reason }
  if (mustRemake)
    return {
      state: 'starting',
      progress: 'making the set anew',
      reason: failing[0]?.reason ?? null,
    }
  if (obstacle?.is === 'pulling' && needsImages && failing.length === 0)
    return { state: 'pulling', progress: obstacle.progress, reason: null }
  const worst = failing.find(({ isHopeless }) => isHopeless) ?? failing[0]
  if (worst !== undefined)
    return {
      state: isAnyRunning || !worst.isHopeless ? 'degraded' : 'failed',
      progress: '',
      reason: worst.reason,
    }
  if (views.every(({ isDone }) => isDone)) return { state: 'stopped', progress: '', reason: null }
  if (!views.every(({ isSatisfied }) => isSatisfied))
    return { state: 'starting', progress: startProgress(situation, views), reason: null }
  if (situation.ports.areReady) return { state: 'running', progress: '', reason: null }
  const wasRunning =
    situation.reported?.state === 'running' || situation.reported?.state === 'degraded'
  return wasRunning
    ? { state: 'degraded', progress: '', reason: situation.ports.trouble ?? notForwarding }
    : { state: 'starting', progress: 'waiting for the network', reason: situation.ports.trouble }
}

function startProgress(situation: SetSituation, views: readonly ContainerView[]): string {
  if (situation.found?.pause !== 'running') return 'making the sandbox'
  const unhealthy = views.filter(({ isRunning, isSatisfied }) => isRunning && !isSatisfied)
  if (unhealthy.length > 0) return `waiting for the health of ${unhealthy[0]?.name ?? ''}`
  const waiting = views.filter(({ isSatisfied }) => !isSatisfied)
  return `starting ${waiting.map(({ name }) => name).join(', ')}`
}

/** What failed is forgiven once its time has passed and nothing of its kind is left to do. */
function withoutPassedSetback(
  memory: SetMemory,
  actions: readonly SetAction[],
  nowMs: number,
): SetMemory {
  if (memory.setback === null || nowMs < memory.setback.notBeforeMs) return memory
  return actions.some(isSetStep) ? memory : withoutSetback(memory)
}

/** Whether the failure of an action is one of the whole set. */
export function isSetStep(action: SetAction): boolean {
  switch (action.do) {
    case 'start-sandbox':
    case 'attach-ports':
    case 'remove':
    case 'stop-container':
      return true
    case 'ensure-image':
    case 'start-container':
    case 'probe':
      return false
  }
}

/** Nothing can be done now. What is known to run is said to go on. */
function waiting(
  situation: SetSituation,
  wanted: WantedSet,
  memory: SetMemory,
  because: { reason: FoundReason; isKnown: boolean },
): SetPlan {
  const { found, nowMs, reported } = situation
  const views = judgeContainers({ wanted, found, memory, nowMs })
  const wasRunning = reported?.state === 'running' || reported?.state === 'degraded'
  const state = because.isKnown && wasRunning ? reported.state : 'pending'
  return {
    actions: [],
    wakeAtMs: null,
    memory,
    report: reportOf({
      wanted,
      views,
      state,
      progress: '',
      reason: because.reason,
    }),
  }
}
