import type { Clock, Timer } from '@nubo/base'
import type { WantedSet } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'

/** Whether a set may run here now. */
export type Permission = 'granted' | 'unconfirmed' | 'lease-ended'

export interface GateNeeds {
  readonly clock: Clock
  readonly log: Log
  readonly bootId: string
  /** How long sets run on after an agent restart before a server has answered again. */
  readonly leaseMs: number
  readonly store: {
    readonly confirmedBootId: string | null
    unconfirm(): void
  }
  /** Called when permissions of `elsewhere` sets may have changed. */
  readonly onChange: () => void
}

/**
 * Keeps a set with recovery `elsewhere` from running on two hosts: it runs only where a server has confirmed the
 * placement in this boot, and only while the lease lasts. Sets with recovery `local` are never held: nobody else
 * may run them.
 *
 * A lease that ended takes the confirmation with it. An answer to a heartbeat alone does not bring it back, because
 * the answer may overtake the news that the set is elsewhere now; a complete wanted update does.
 *
 * After a restart of the agent the lease is unknown, since the engines ran on without an agent; then the placement
 * confirmed in this boot holds for one lease more.
 */
export class PlacementGate {
  readonly #needs: GateNeeds
  #isConfirmed: boolean
  #leaseUntilMs: number
  #timer: Timer | undefined

  constructor(needs: GateNeeds) {
    this.#needs = needs
    this.#isConfirmed = needs.store.confirmedBootId === needs.bootId
    this.#leaseUntilMs = this.#isConfirmed ? needs.clock.monotonicMs() + needs.leaseMs : 0
    this.#arm()
  }

  /** Until when `elsewhere` sets may run without another answer, on the monotonic clock. */
  get leaseUntilMonotonicMs(): number {
    return this.#leaseUntilMs
  }

  permission(set: Pick<WantedSet, 'recovery'>): Permission {
    if (set.recovery === 'local') return 'granted'
    if (this.#needs.clock.monotonicMs() >= this.#leaseUntilMs)
      return this.#leaseUntilMs === 0 ? 'unconfirmed' : 'lease-ended'
    return this.#isConfirmed ? 'granted' : 'unconfirmed'
  }

  /** A server has answered a message that was sent at `leaseUntilMs - lease`. Never shortens the lease. */
  renewLease(leaseUntilMs: number): void {
    if (leaseUntilMs <= this.#leaseUntilMs) return
    this.#leaseUntilMs = leaseUntilMs
    this.#arm()
  }

  /** A complete wanted update of this boot is in the store. */
  confirm(): void {
    if (this.#isConfirmed) return
    this.#isConfirmed = true
    this.#needs.onChange()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #arm(): void {
    this.#timer?.cancel()
    const leftMs = this.#leaseUntilMs - this.#needs.clock.monotonicMs()
    if (leftMs > 0) this.#timer = this.#needs.clock.after(leftMs, () => this.#end())
  }

  #end(): void {
    this.#timer = undefined
    if (this.#needs.clock.monotonicMs() < this.#leaseUntilMs) return this.#arm()
    this.#isConfirmed = false
    try {
      this.#needs.store.unconfirm()
    } catch (error) {
      // What counts is that this life of the agent holds the sets; a full disk must not keep it from that.
      this.#needs.log.error('the end of the lease could not be recorded', { error })
    }
    this.#needs.onChange()
  }
}
