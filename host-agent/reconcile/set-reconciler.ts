import {
  every,
  PlatformError,
  sleep,
  withJitter,
  type Clock,
  type Random,
  type Timer,
} from '@nubo/base'
import type { FoundReason } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { FoundSet, SetDriver, SetEvent } from '../drivers/set/set-driver.ts'
import type { LeaseKeeper } from '../guard/lease-keeper.ts'
import { logged } from '../logged.ts'
import type { HostNetwork } from '../network/host-network.ts'
import { backoffMs } from '../plan/backoff.ts'
import type { FoundReports } from '../session/found-reports.ts'
import type { Disk } from '../wanted/disk.ts'
import type { PlacementGate } from '../wanted/placement-gate.ts'
import type { WantedStore } from '../wanted/wanted-store.ts'
import { withDeadline } from './deadline.ts'
import { ImagePuller, type ImageTokens } from './image-puller.ts'
import { Limiter, SharedLimiter } from './limiter.ts'
import { reasonOf } from './reason.ts'
import { SetMemories } from './set-memories.ts'
import { SetWorker, type WorkerNeeds } from './set-worker.ts'

/** Whatever no event told is seen by a full pass after this time. */
const FULL_PASS_PERIOD_MS = 10_000
const LIST_TIMEOUT_MS = 30_000
const ENGINE_RETRY_FIRST_MS = 200
const ENGINE_RETRY_MAX_MS = 5_000
const PARALLEL_REMOVALS_MAX = 16
/**
 * Stops and probes last as long as tenants like, up to minutes, so that one project gets only a part of the places.
 * A stop costs a connection to the engine, of which there are 1,024; a probe costs an exec, of which the driver has
 * 128, and people look into containers with those, too.
 */
const PARALLEL_STOPS = { max: 512, maxPerKey: 64 }
const PARALLEL_PROBES = { max: 64, maxPerKey: 8 }
/** Then the rest goes on beside them: they have no ports any more, and their containers were ended with the lease. */
const REMOVE_UNWANTED_TIMEOUT_MS = 60_000
/** After this the first report of a session goes out with what is known, though some sets have not been looked at. */
const FIRST_LOOK_TIMEOUT_MS = 5_000
/** Of sets that are not wanted any more, so many of the latest are told of while the engine does not answer. */
const FORMER_SETS_MAX = 1_000

export interface ReconcilerNeeds {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly store: WantedStore
  readonly disk: Disk
  readonly driver: SetDriver
  readonly network: HostNetwork
  readonly gate: PlacementGate
  readonly lease: Pick<LeaseKeeper, 'watch' | 'unwatch' | 'watched'>
  readonly tokens: ImageTokens
  readonly reports: FoundReports
  readonly parallelStartsMax: number
  readonly parallelPullsMax: number
}

/** Runs one worker per set that is wanted or here, and keeps them informed. */
export class SetReconciler {
  readonly #needs: ReconcilerNeeds
  readonly #workers = new Map<string, SetWorker>()
  readonly #memories: SetMemories
  readonly #images: ImagePuller
  readonly #limiters: Pick<WorkerNeeds, 'starts' | 'stops' | 'removals' | 'probes'>
  readonly #running = new Map<string, Promise<void>>()
  readonly #unplanned = new Set<string>()
  readonly #prepared = Promise.withResolvers<void>()
  readonly #firstLook = Promise.withResolvers<void>()
  /** Null: it works. At the start nothing is known yet, and nothing may be done. */
  #engineTrouble: FoundReason | null = {
    code: 'ENGINE_UNAVAILABLE',
    text: 'The container engine has not answered yet.',
  }
  #isPrepared = false
  /** Since then every set on the host has a worker. */
  #hasListed = false
  /** Sets on the host of which nobody has said yet whether they are wanted. */
  readonly #unclaimed = new Map<string, FoundSet>()
  #returning: Promise<void> | undefined
  #signal: AbortSignal = AbortSignal.abort()

  constructor(needs: ReconcilerNeeds) {
    this.#needs = needs
    this.#memories = new SetMemories(needs)
    this.#images = new ImagePuller({
      ...needs,
      onChange: (digest) => this.#wakeUsersOf(digest),
    })
    this.#limiters = {
      starts: new Limiter(needs.parallelStartsMax),
      stops: new SharedLimiter(PARALLEL_STOPS),
      removals: new Limiter(PARALLEL_REMOVALS_MAX),
      probes: new SharedLimiter(PARALLEL_PROBES),
    }
  }

  /** Runs until `signal` aborts; what runs on the host stays. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal
    const { clock, driver, store } = this.#needs
    for (const id of store.sets.keys()) {
      this.#unplanned.add(id)
      this.#worker(id, undefined)
    }
    const subscription = driver.events((event) => this.#onEvent(event))
    this.#engineIsAway()
    const timer: Timer = every(clock, FULL_PASS_PERIOD_MS, () => this.#fullPass())
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    timer.cancel()
    subscription.close()
    await Promise.all([...this.#running.values(), this.#returning])
  }

  /** Resolves when the container engine has answered for the first time. */
  get prepared(): Promise<void> {
    return this.#prepared.promise
  }

  /** Items of these keys changed in the store. */
  wantedChanged(keys: ReadonlySet<string>): void {
    const { store } = this.#needs
    for (const [id, found] of this.#unclaimed) this.#worker(id, found)
    this.#unclaimed.clear()
    for (const key of keys) {
      const slash = key.indexOf('/')
      const id = key.slice(slash + 1)
      switch (key.slice(0, slash)) {
        case 'set':
          // What the engine holds has a worker already, unless the engine has not been asked.
          this.#worker(id, this.#engineTrouble === null ? null : undefined).wake()
          break
        case 'port': {
          const at = store.ports.get(id)?.at
          if (at?.on === 'set') this.wake(at.setId)
          break
        }
        case 'network':
          for (const { id: setId, portIds } of store.sets.values())
            if (portIds.some((portId) => store.ports.get(portId)?.networkId === id))
              this.wake(setId)
          break
      }
    }
  }

  /**
   * Removes what is here and not wanted. Undefined if there is no such set; else it resolves when all of them are gone, or
   * after a deadline of its own. A set that may be here counts, too, while the engine cannot be asked.
   */
  removeUnwanted(): Promise<void> | undefined {
    const { clock, lease, log, store } = this.#needs
    this.wantedChanged(new Set())
    for (const id of lease.watched()) if (store.set(id) === undefined) this.#worker(id, undefined)
    const unwanted = [...this.#running].filter(([id]) => store.set(id) === undefined)
    if (unwanted.length === 0) return undefined
    for (const [id] of unwanted) this.wake(id)
    log.info('sets that are not wanted here any more are removed before anything else', {
      setIds: unwanted.map(([id]) => id).slice(0, 10),
      sets: unwanted.length,
    })
    const gone = Promise.all(unwanted.map(([, running]) => running))
    const work = gone.then(() => undefined)
    return withDeadline({
      clock,
      timeoutMs: REMOVE_UNWANTED_TIMEOUT_MS,
      what: 'remove old sets',
      work,
    }).catch((error: unknown) =>
      log.error('sets that are not wanted here are still there', logged(error)),
    )
  }

  wake(setId: string): void {
    this.#workers.get(setId)?.wake()
  }

  wakeAll(): void {
    for (const worker of this.#workers.values()) worker.wake()
  }

  /** Resolves when each set that was known at the start has been decided about once, at the latest after 5 s. */
  async untilFound(signal: AbortSignal): Promise<void> {
    const giveUp = new AbortController()
    await Promise.race([
      this.#firstLook.promise,
      sleep(
        this.#needs.clock,
        FIRST_LOOK_TIMEOUT_MS,
        AbortSignal.any([signal, giveUp.signal]),
      ).catch(() => undefined),
    ])
    giveUp.abort()
    if (!this.#hasListed && !signal.aborted) this.#tellOfFormerSets()
  }

  /**
   * A report of everything that leaves out what may still be here would say that it is gone, and it could be started on
   * another host. So as long as the engine has never answered, sets that were perhaps being removed when the agent ended
   * are told of too.
   */
  #tellOfFormerSets(): void {
    const { reports, store } = this.#needs
    for (const [id, { epoch, generation }] of store.formerSets(FORMER_SETS_MAX)) {
      if (this.#workers.has(id)) continue
      const about = { progress: '', reason: this.#engineTrouble, containers: [] }
      reports.publish({ kind: 'set', id, epoch, generation, state: 'stopping', ...about })
      this.#worker(id, undefined)
    }
  }

  /** How many `elsewhere` sets have something running here. One of which that is not known for sure counts. */
  get elsewhereRunning(): number {
    let running = 0
    for (const id of this.#needs.lease.watched())
      if (this.#engineTrouble !== null || this.#workers.get(id)?.isSurelyStopped !== true)
        running += 1
    return running
  }

  #onEvent(event: SetEvent): void {
    switch (event.type) {
      // Nobody but the agent starts containers, and it looks at them itself.
      case 'started':
        return
      case 'died':
      case 'oom':
        return this.#workers.get(event.setId)?.lookAgain()
      case 'resync':
        for (const worker of this.#workers.values()) worker.lookAgain()
        return
      case 'lost':
        return this.#engineIsAway(
          new PlatformError('ENGINE_UNAVAILABLE', {}, { message: event.reason }),
        )
    }
  }

  #wakeUsersOf(digest: string): void {
    for (const [id, worker] of this.#workers)
      if (this.#needs.store.set(id)?.containers.some(({ image }) => image.digest === digest))
        worker.wake()
  }

  #worker(setId: string, found: FoundSet | null | undefined): SetWorker {
    const known = this.#workers.get(setId)
    if (known !== undefined) return known
    const worker = new SetWorker(
      setId,
      {
        ...this.#needs,
        ...this.#limiters,
        memories: this.#memories,
        images: this.#images,
        engineTrouble: () => this.#engineTrouble,
        onEngineAway: (error) => this.#engineIsAway(error),
        onPlanned: (id) => this.#planned(id),
      },
      found,
    )
    this.#workers.set(setId, worker)
    const running = worker.run(this.#signal).then(() => {
      this.#running.delete(setId)
      if (this.#signal.aborted) return
      this.#workers.delete(setId)
      this.#memories.forget(setId)
      // Wanted again in the moment of its end.
      if (this.#needs.store.set(setId) !== undefined) this.#worker(setId, undefined)
    })
    this.#running.set(setId, running)
    return worker
  }

  #planned(setId: string): void {
    this.#unplanned.delete(setId)
    if (this.#unplanned.size === 0) this.#firstLook.resolve()
  }

  // ---- the engine ----

  /** Idempotent; one attempt to get it back is under way at a time. */
  #engineIsAway(error?: unknown): void {
    if (error !== undefined) {
      const trouble = reasonOf(error, 'ENGINE_UNAVAILABLE')
      if (this.#engineTrouble === null)
        this.#needs.log.warn('the container engine does not answer', logged(error))
      this.#engineTrouble = trouble
      this.wakeAll()
    }
    this.#returning ??= this.#untilEngineAnswers(error === undefined ? 0 : 1).finally(
      () => (this.#returning = undefined),
    )
  }

  async #untilEngineAnswers(failuresBefore: number): Promise<void> {
    const { clock, log, random } = this.#needs
    let failures = failuresBefore
    while (!this.#signal.aborted) {
      if (failures > 0) {
        const delayMs = backoffMs({
          failures,
          firstMs: ENGINE_RETRY_FIRST_MS,
          maxMs: ENGINE_RETRY_MAX_MS,
        })
        await sleep(clock, withJitter(random, delayMs), this.#signal).catch(() => undefined)
        if (this.#signal.aborted) return
      }
      try {
        if (!this.#isPrepared)
          await this.#within('prepare the engine', this.#needs.driver.prepare())
        this.#isPrepared = true
        this.#prepared.resolve()
        const found = await this.#within('list sets', this.#needs.driver.list())
        this.#engineTrouble = null
        this.#adopt(found)
        return
      } catch (error) {
        failures += 1
        if (failures === 1) log.warn('the container engine is not usable yet', logged(error))
        this.#engineTrouble = reasonOf(error, 'ENGINE_UNAVAILABLE')
        this.wakeAll()
      }
    }
  }

  /** The engine answers (again): every set gets a worker that knows what is there. */
  #adopt(found: readonly FoundSet[]): void {
    const { log, store } = this.#needs
    this.#hasListed = true
    const byId = new Map(found.map((set) => [set.setId, set]))
    log.info('the container engine answers', { sets: found.length })
    for (const [id, set] of byId) {
      // Without a snapshot nothing is known to be unwanted.
      if (store.revision === null) this.#unclaimed.set(id, set)
      else this.#worker(id, set)
    }
    for (const id of store.sets.keys()) this.#worker(id, byId.get(id) ?? null)
    for (const [id, worker] of this.#workers) worker.adopt(byId.get(id) ?? null)
    if (this.#unplanned.size === 0) this.#firstLook.resolve()
  }

  /** Compares the whole engine with what the workers believe. */
  async #fullPass(): Promise<void> {
    if (this.#signal.aborted) return
    // It is being waited for; should that have ended with the very answer before this trouble, it begins again.
    if (this.#engineTrouble !== null) return this.#engineIsAway()
    const { driver, store } = this.#needs
    const versions = new Map([...this.#workers].map(([id, worker]) => [id, worker.version]))
    let found: readonly FoundSet[]
    try {
      found = await this.#within('list sets', driver.list())
    } catch (error) {
      return this.#engineIsAway(error)
    }
    const byId = new Map(found.map((set) => [set.setId, set]))
    for (const [id, worker] of this.#workers)
      worker.listed(byId.get(id) ?? null, versions.get(id) ?? -1)
    if (store.revision !== null) for (const [id, set] of byId) this.#worker(id, set)
    for (const id of store.sets.keys()) this.#worker(id, byId.get(id) ?? null)
    this.#images.keepOnly(
      new Set(
        [...store.sets.values()].flatMap(({ containers }) =>
          containers.map(({ image }) => image.digest),
        ),
      ),
    )
  }

  #within<Result>(what: string, work: Promise<Result>): Promise<Result> {
    return withDeadline({ clock: this.#needs.clock, timeoutMs: LIST_TIMEOUT_MS, what, work })
  }
}
