import { every, type Clock, type ErrorCode, type Random, type Timer } from '@nubo/base'
import type { Log } from '@nubo/runtime'
import type { AuditRow, CallAct } from '../../world/index.ts'
import { rowOf } from './audit.ts'

/** One actor's refusals are told one by one up to this many at once, and so many a second after that. */
export const ACTOR_BURST = 100
export const ACTOR_PER_SECOND = 5
/** The same for all actors of a server together: tokens are easily made. */
export const SERVER_BURST = 1_000
export const SERVER_PER_SECOND = 50
/** More actors at once are counted as one. */
export const ACTORS_MAX = 1_000
/** While the database takes nothing, so many wait; more are counted. */
export const QUEUE_ROWS_MAX = 2_000
const BATCH_ROWS_MAX = 500
const FLUSH_PERIOD_MS = 250
const COUNTED_PERIOD_MS = 10_000

/** Lets so many through at once and so many a second afterwards. */
class Allowance {
  readonly #burst: number
  readonly #perSecond: number
  #left: number
  #atMs: number

  constructor(limits: { burst: number; perSecond: number; nowMs: number }) {
    this.#burst = limits.burst
    this.#perSecond = limits.perSecond
    this.#left = limits.burst
    this.#atMs = limits.nowMs
  }

  take(nowMs: number): boolean {
    const earned = (Math.max(0, nowMs - this.#atMs) * this.#perSecond) / 1_000
    this.#left = Math.min(this.#burst, this.#left + earned)
    this.#atMs = nowMs
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }

  /** Whether nothing of it has been taken for long enough that it may be forgotten. */
  isFull(nowMs: number): boolean {
    return this.#left + ((nowMs - this.#atMs) * this.#perSecond) / 1_000 >= this.#burst
  }
}

interface Counted {
  readonly act: CallAct
  readonly code: ErrorCode
  count: number
}

interface RefusalDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly insert: (rows: readonly AuditRow[]) => Promise<void>
}

/**
 * Refusals on their way to the table. Nobody waits for them, and a flood of them costs little: the first of an actor
 * are told one by one, of the others only how many there were. What waits is lost if the process is killed.
 */
export class RefusalLog {
  readonly #deps: RefusalDeps
  readonly #actors = new Map<string, Allowance>()
  readonly #all: Allowance
  readonly #counted = new Map<string, Counted>()
  #queue: AuditRow[] = []
  #flushing: Promise<void> | undefined
  #timers: Timer[] = []

  constructor(deps: RefusalDeps) {
    this.#deps = deps
    this.#all = new Allowance({
      burst: SERVER_BURST,
      perSecond: SERVER_PER_SECOND,
      nowMs: deps.clock.monotonicMs(),
    })
  }

  start(): void {
    const { clock } = this.#deps
    this.#timers = [
      every(clock, FLUSH_PERIOD_MS, () => this.flush()),
      every(clock, COUNTED_PERIOD_MS, () => this.#tellCounted()),
    ]
  }

  /** Writes what waits. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel()
    await this.flush()
    this.#tellCounted()
    await this.flush()
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** Takes a refusal; returns at once. */
  add(act: CallAct, refusal: { code: ErrorCode; note: string }): void {
    const nowMs = this.#deps.clock.monotonicMs()
    const key = act.tokenId ?? act.actor
    if (
      this.#queue.length < QUEUE_ROWS_MAX &&
      this.#allowanceOf(key, nowMs)?.take(nowMs) === true &&
      this.#all.take(nowMs)
    ) {
      this.#queue.push(rowOf(act, refusal, this.#deps))
      return
    }
    const isKnown = this.#counted.has(key) || this.#counted.size < ACTORS_MAX
    const counted = this.#counted.get(isKnown ? key : '')
    if (counted !== undefined) counted.count++
    else {
      const others: CallAct = {
        ...act,
        ...(isKnown ? {} : { actor: 'others', tokenId: null, accountId: null, projectId: null }),
        call: 'several',
        resource: null,
      }
      this.#counted.set(isKnown ? key : '', { act: others, code: refusal.code, count: 1 })
    }
  }

  /** Undefined when there are too many at once. */
  #allowanceOf(key: string, nowMs: number): Allowance | undefined {
    const known = this.#actors.get(key)
    if (known !== undefined) return known
    if (this.#actors.size >= ACTORS_MAX) {
      for (const [other, allowance] of this.#actors)
        if (allowance.isFull(nowMs)) this.#actors.delete(other)
      if (this.#actors.size >= ACTORS_MAX) return undefined
    }
    const fresh = new Allowance({ burst: ACTOR_BURST, perSecond: ACTOR_PER_SECOND, nowMs })
    this.#actors.set(key, fresh)
    return fresh
  }

  /** One row for each actor: so many more, of which the first was refused for this reason. */
  #tellCounted(): void {
    for (const [key, { act, code, count }] of this.#counted) {
      if (this.#queue.length >= QUEUE_ROWS_MAX) return
      const note = `${count} more refusals, the first of them ${code}`
      this.#queue.push(rowOf(act, { code, note, count }, this.#deps))
      this.#counted.delete(key)
    }
  }

  /** One batch at a time; what could not be written stays. */
  flush(): Promise<void> {
    return (this.#flushing ??= this.#write().finally(() => (this.#flushing = undefined)))
  }

  async #write(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH_ROWS_MAX)
      try {
        await this.#deps.insert(batch)
      } catch (error) {
        this.#deps.log.warn('refusals could not be audited; they wait', {
          rows: this.#queue.length,
          error,
        })
        return
      }
      this.#queue = this.#queue.slice(batch.length)
    }
  }
}
