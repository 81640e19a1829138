import { isDeepStrictEqual } from 'node:util'
import type { Clock, ErrorCode } from '@nubo/base'
import type { FoundReason, WantedSet } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { FoundSet, SetDriver, SetSpec } from '../drivers/set/set-driver.ts'
import type { LeaseKeeper } from '../guard/lease-keeper.ts'
import { logged } from '../logged.ts'
import type { HostNetwork } from '../network/host-network.ts'
import { Wakeup } from '../network/wakeup.ts'
import { afterProbe, beginProbe } from '../plan/health.ts'
import {
  afterRemove,
  afterSetback,
  afterStart,
  afterStartFailed,
  withoutSetback,
} from '../plan/observe.ts'
import { isSetStep, planSet, type SetAction, type SetPlan } from '../plan/plan-set.ts'
import type { SetMemory } from '../plan/set-memory.ts'
import { sameInterfaces, specOf } from '../plan/set-spec.ts'
import type { FoundReports } from '../session/found-reports.ts'
import type { PlacementGate } from '../wanted/placement-gate.ts'
import type { WantedStore } from '../wanted/wanted-store.ts'
import { withDeadline } from './deadline.ts'
import type { ImagePuller } from './image-puller.ts'
import type { Limiter, SharedLimiter } from './limiter.ts'
import { isEngineAway, reasonOf } from './reason.ts'
import type { SetMemories } from './set-memories.ts'

const START_TIMEOUT_MS = 60_000
const REMOVE_TIMEOUT_MS = 60_000
const FIND_TIMEOUT_MS = 30_000
const ATTACH_TIMEOUT_MS = 10_000
/** Beyond the time that the container itself has been given. */
const STOP_EXTRA_MS = 30_000
const PROBE_EXTRA_MS = 5_000
const FAILED_PASS_PAUSE_MS = 1_000
/** Should a wake ever be lost. */
const DECIDE_ANEW_MS = 60_000
/** Of a set that is here and was never wanted in this life of the agent: it may run elsewhere by now. */
const UNKNOWN_SET = { recovery: 'elsewhere' } as const

export interface WorkerNeeds {
  readonly clock: Clock
  readonly log: Log
  readonly store: WantedStore
  readonly memories: SetMemories
  readonly driver: SetDriver
  readonly network: HostNetwork
  readonly gate: PlacementGate
  readonly lease: Pick<LeaseKeeper, 'watch' | 'unwatch'>
  readonly images: ImagePuller
  readonly reports: FoundReports
  readonly starts: Limiter
  readonly removals: Limiter
  /** By project. */
  readonly stops: SharedLimiter
  readonly probes: SharedLimiter
  /** Why the container engine cannot be worked with; null: it can. */
  engineTrouble(): FoundReason | null
  onEngineAway(error: unknown): void
  /** The set has been planned for the first time with the engine's knowledge. */
  onPlanned(setId: string): void
}

/**
 * Brings one set to what is wanted of it, one step after the other: looks, decides (`planSet`), acts, looks again.
 * Sets do not wait for each other except for the places in the limiters.
 */
export class SetWorker {
  readonly setId: string
  readonly #needs: WorkerNeeds
  readonly #wakeup: Wakeup
  readonly #log: Log
  #memory: SetMemory
  /** Undefined: must be asked. */
  #found: FoundSet | null | undefined
  #mustLook = false
  #freshSandbox: FoundSet | undefined
  #lastWanted: WantedSet | null = null
  /** The store replaces what is wanted and never changes it, so that the same object has the same content. */
  #lastSpec: { readonly wanted: WantedSet; readonly spec: SetSpec } | undefined
  /** Counts looks and actions, so that an older list cannot overwrite newer knowledge. */
  #version = 0
  #isBusy = false
  #isPlanned = false

  constructor(setId: string, needs: WorkerNeeds, found: FoundSet | null | undefined) {
    this.setId = setId
    this.#needs = needs
    this.#wakeup = new Wakeup(needs.clock)
    this.#log = needs.log.child({ setId })
    this.#memory = needs.memories.recall(setId)
    this.#found = found
  }

  /** Something that it decides by has changed. */
  wake(): void {
    this.#wakeup.wake()
  }

  /** The engine may hold something else than was last seen. */
  lookAgain(): void {
    this.#mustLook = true
    this.#wakeup.wake()
  }

  /** Nothing of it ran when it was looked at last, and nothing is being started. */
  get isSurelyStopped(): boolean {
    if (this.#isBusy || this.#mustLook || this.#found === undefined) return false
    return this.#found === null || this.#found.containers.every(({ state }) => state !== 'running')
  }

  get version(): number {
    return this.#version
  }

  /**
   * Takes what a list of the whole engine said, unless something has happened since the list was begun. It wakes nobody if
   * it says what is known.
   */
  listed(found: FoundSet | null, version: number): void {
    if (this.#isBusy || version !== this.#version) return
    if (this.#found !== undefined && isDeepStrictEqual(this.#found, found)) return
    this.#found = found
    this.#wakeup.wake()
  }

  /** The engine answers again, and this is what it has. */
  adopt(found: FoundSet | null): void {
    if (this.#isBusy) return this.lookAgain()
    this.#found = found
    this.#mustLook = false
    this.#version += 1
    this.#wakeup.wake()
  }

  /** Runs until the set is neither wanted nor here, or `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const plan = await this.#decide()
        if (this.#isGone()) {
          this.#needs.lease.unwatch(this.setId)
          break
        }
        if (plan.actions.length > 0) await this.#act(plan.actions, signal)
        else await this.#wakeup.wait({ maxMs: this.#waitMs(plan), signal })
      } catch (error) {
        // A set that cannot be looked at, or a full disk; whatever it is must not end the care for this set.
        this.#log.error('a pass over a set failed', { error })
        this.#setback(reasonOf(error, 'INTERNAL'))
        await this.#wakeup.wait({ maxMs: FAILED_PASS_PAUSE_MS, signal })
      }
    }
    this.#wakeup.close()
  }

  #isGone(): boolean {
    return (
      this.#found === null &&
      this.#needs.store.set(this.setId) === undefined &&
      this.#needs.reports.get(this.setId) === undefined
    )
  }

  #waitMs(plan: SetPlan): number {
    if (plan.wakeAtMs === null) return DECIDE_ANEW_MS
    return Math.min(DECIDE_ANEW_MS, Math.max(0, plan.wakeAtMs - this.#needs.clock.monotonicMs()))
  }

  // ---- look and decide ----

  async #decide(): Promise<SetPlan> {
    await this.#look()
    const { clock, gate, images, memories, network, reports, store } = this.#needs
    const wanted = store.set(this.setId) ?? null
    this.#lastWanted = wanted ?? this.#lastWanted
    if (wanted !== null) this.#guard(wanted)
    const spec = wanted === null ? null : this.#spec(wanted)
    const plan = planSet({
      setId: this.setId,
      wanted,
      lastWanted: this.#lastWanted,
      permission: gate.permission(this.#lastWanted ?? UNKNOWN_SET),
      found: this.#found ?? null,
      engineTrouble: this.#needs.engineTrouble(),
      spec: spec === null || 'missing' in spec ? null : { hash: spec.specHash },
      missing: spec !== null && 'missing' in spec ? spec.missing : '',
      image: (digest) => images.state(digest),
      ports:
        wanted === null
          ? { areAttached: true, areReady: true, trouble: null }
          : network.portsOf(wanted),
      memory: this.#memory,
      reported: reports.set(this.setId) ?? null,
      nowMs: clock.monotonicMs(),
    })
    this.#memory = plan.memory
    memories.keep(this.setId, plan.memory)
    if (plan.report !== null) reports.publish(plan.report)
    // Before the engine has been asked, a plan is only that nothing is known.
    if (!this.#isPlanned && this.#needs.engineTrouble() === null) {
      this.#isPlanned = true
      this.#needs.onPlanned(this.setId)
    }
    return plan
  }

  /** Before anything is done for the set, so that nothing of it runs unguarded. Of one that is not wanted nothing new starts. */
  #guard({ recovery }: WantedSet): void {
    if (recovery === 'elsewhere') this.#needs.lease.watch(this.setId)
    else this.#needs.lease.unwatch(this.setId)
  }

  async #look(): Promise<void> {
    if (this.#found !== undefined && !this.#mustLook) return
    if (this.#needs.engineTrouble() !== null) return
    this.#mustLook = false
    try {
      this.#found = await withDeadline({
        clock: this.#needs.clock,
        timeoutMs: FIND_TIMEOUT_MS,
        what: 'look at a set',
        work: this.#needs.driver.find(this.setId),
      })
      this.#version += 1
    } catch (error) {
      this.#mustLook = true
      if (!isEngineAway(error)) throw error
      this.#needs.onEngineAway(error)
    }
  }

  /** Computed anew only if something that it is made of is another: each decision asks for it, and its hash costs the most. */
  #spec(wanted: WantedSet): SetSpec | { readonly missing: string } {
    const interfaces = this.#needs.network.interfacesOf(wanted)
    if ('missing' in interfaces) return interfaces
    const last = this.#lastSpec
    if (last?.wanted === wanted && sameInterfaces(last.spec.interfaces, interfaces))
      return last.spec
    const spec = specOf(wanted, interfaces)
    this.#lastSpec = { wanted, spec }
    return spec
  }

  // ---- act ----

  async #act(actions: readonly SetAction[], signal: AbortSignal): Promise<void> {
    this.#isBusy = true
    this.#version += 1
    try {
      const outcomes = await Promise.all(actions.map((action) => this.#take(action, signal)))
      if (outcomes.every((isFine) => isFine) && actions.some(isSetStep))
        this.#memory = withoutSetback(this.#memory)
      if (actions.some(changesEngine)) this.#mustLook = true
      this.#found = this.#freshSandbox ?? this.#found
      // A sandbox that was just made is known without asking; its containers need not wait for the answer.
      if (this.#freshSandbox !== undefined) this.#mustLook = false
      this.#freshSandbox = undefined
    } finally {
      this.#isBusy = false
      this.#version += 1
    }
  }

  /** False if it failed; then the memory says why. */
  async #take(action: SetAction, signal: AbortSignal): Promise<boolean> {
    const wanted = this.#needs.store.set(this.setId) ?? null
    try {
      switch (action.do) {
        case 'ensure-image':
          this.#needs.images.ensure(action.image, signal)
          return true
        case 'probe':
          if (wanted !== null) this.#probe(wanted, action)
          return true
        case 'start-sandbox':
          await this.#startSandbox(wanted)
          return true
        case 'attach-ports':
          if (wanted !== null)
            await this.#within(
              ATTACH_TIMEOUT_MS,
              'attach ports',
              this.#needs.network.attachPorts(wanted),
            )
          return true
        case 'start-container':
          return await this.#startContainer(wanted, action.name)
        case 'stop-container':
          await this.#stopContainer(action)
          return true
        case 'remove':
          await this.#remove(wanted)
          return true
      }
    } catch (error) {
      this.#failed(action, error)
      return false
    }
  }

  #failed(action: SetAction, error: unknown): void {
    this.#log.warn('a step of a set failed', { step: action.do, ...logged(error) })
    if (isEngineAway(error) && action.do !== 'attach-ports') return this.#needs.onEngineAway(error)
    this.#setback(reasonOf(error, fallbackCode(action)))
  }

  #setback(reason: FoundReason): void {
    this.#memory = afterSetback(this.#memory, reason, this.#needs.clock.monotonicMs())
  }

  async #startSandbox(wanted: WantedSet | null): Promise<void> {
    const spec = wanted === null ? null : this.#spec(wanted)
    if (spec === null || 'missing' in spec) return
    const { pid } = await this.#needs.starts.run(() =>
      this.#within(START_TIMEOUT_MS, 'start a sandbox', this.#needs.driver.startSandbox(spec)),
    )
    const { setId, epoch, specHash } = spec
    if (this.#found === null)
      this.#freshSandbox = {
        setId,
        epoch,
        specHash,
        pause: 'running',
        pausePid: pid,
        containers: [],
      }
  }

  async #startContainer(wanted: WantedSet | null, name: string): Promise<boolean> {
    const container = wanted?.containers.find((one) => one.name === name)
    const spec = wanted === null ? null : this.#spec(wanted)
    if (container === undefined || spec === null || 'missing' in spec) return true
    try {
      // Sets that have a sandbox are finished before further ones are begun: of many, the first are ready soon.
      await this.#needs.starts.run(
        () =>
          this.#within(
            START_TIMEOUT_MS,
            'start a container',
            this.#needs.driver.startContainer(spec, name),
          ),
        { isUrgent: true },
      )
      this.#memory = afterStart(this.#memory, name)
      return true
    } catch (error) {
      this.#log.warn('a container could not be started', { container: name, ...logged(error) })
      if (isEngineAway(error)) {
        this.#needs.onEngineAway(error)
        return false
      }
      // The image may have been removed behind our back; asking again costs little.
      this.#needs.images.forget(container.image.digest)
      this.#memory = afterStartFailed(
        this.#memory,
        container,
        reasonOf(error, 'CONTAINER_START_FAILED'),
        this.#needs.clock.monotonicMs(),
      )
      return false
    }
  }

  async #stopContainer(action: { name: string; timeoutMs: number }): Promise<void> {
    const project = this.#lastWanted?.projectId ?? this.setId
    await this.#needs.stops.run(project, () =>
      this.#within(
        action.timeoutMs + STOP_EXTRA_MS,
        'stop a container',
        this.#needs.driver.stopContainer(this.setId, action.name, action.timeoutMs),
      ),
    )
  }

  async #remove(wanted: WantedSet | null): Promise<void> {
    const { network, driver, removals } = this.#needs
    // Their devices go with the sandbox; those of a new one are attached anew. The switch being away must not keep
    // a set from going: what is left is detached when it is back.
    if (wanted !== null)
      await this.#within(
        ATTACH_TIMEOUT_MS,
        'detach ports',
        network.detachPorts(wanted.portIds),
      ).catch((error: unknown) => this.#log.warn('ports could not be detached', logged(error)))
    await removals.run(() =>
      this.#within(REMOVE_TIMEOUT_MS, 'remove a set', driver.removeSet(this.setId)),
    )
    this.#memory = afterRemove(this.#memory)
  }

  /** In the background: a probe that hangs holds up nothing. */
  #probe(wanted: WantedSet, action: { name: string; runKey: string }): void {
    const check = wanted.containers.find(({ name }) => name === action.name)?.healthCheck
    if (check === null || check === undefined) return
    const { clock, driver, probes } = this.#needs
    this.#memory = beginProbe(this.#memory, action.name)
    const probing = probes.run(wanted.projectId, () =>
      this.#within(
        check.timeoutMs + PROBE_EXTRA_MS,
        'a health check',
        driver.probe(this.setId, action.name, check.command, check.timeoutMs),
      ),
    )
    void probing
      .then(
        ({ ok }): boolean | null => ok,
        (error: unknown) => {
          this.#log.debug('a health check could not be made', {
            container: action.name,
            ...logged(error),
          })
          return null
        },
      )
      .then((isOk) => {
        this.#memory = afterProbe({
          memory: this.#memory,
          name: action.name,
          check,
          runKey: action.runKey,
          isOk,
          nowMs: clock.monotonicMs(),
        })
        this.wake()
      })
  }

  #within<Result>(timeoutMs: number, what: string, work: Promise<Result>): Promise<Result> {
    return withDeadline({ clock: this.#needs.clock, timeoutMs, what, work })
  }
}

function changesEngine(action: SetAction): boolean {
  return action.do !== 'ensure-image' && action.do !== 'probe' && action.do !== 'attach-ports'
}

function fallbackCode(action: SetAction): ErrorCode {
  return action.do === 'attach-ports' ? 'ENGINE_UNAVAILABLE' : 'CONTAINER_START_FAILED'
}
