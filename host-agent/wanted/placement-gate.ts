import { explain, type Clock, type Timer } from '@nubo/base'
import type { WantedSet } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { LeaseKeeper } from '../guard/lease-keeper.ts'

/** Whether a set may run here now. */
export type Permission = 'granted' | 'unconfirmed' | 'lease-ended'

export interface GateNeeds {
  readonly clock: Clock
  readonly log: Log
  readonly bootId: string
  /** No lease that servers grant is longer; a record that says so is damaged. */
  readonly leaseMaxMs: number
  readonly lease: Pick<LeaseKeeper, 'load' | 'save'>
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
 * A lease that ended takes the confirmation with it. It begins anew only with a session: the welcome renews it, and the
 * complete wanted update that follows confirms what is here. An answer to a heartbeat alone brings nothing back, because
 * it may overtake the news that the set is elsewhere now.
 *
 * Each renewal is written before it counts, so that the next life of the agent in this boot goes on with the same lease
 * and never has a longer one: an agent that crashes again and again keeps nothing alive. Where no lease can be read,
 * it has ended.
 */
export class PlacementGate {
  readonly #needs: GateNeeds
  #isConfirmed: boolean
  #leaseUntilMs: number
  #timer: Timer | undefined

  constructor(needs: GateNeeds) {
    this.#needs = needs
    this.#leaseUntilMs = readLease(needs)
    this.#isConfirmed = needs.store.confirmedBootId === needs.bootId && this.doesLast
    if (!this.#isConfirmed) this.#unconfirm()
    this.#arm()
  }

  /** Until when `elsewhere` sets may run without another answer, on the monotonic clock. */
  get leaseUntilMonotonicMs(): number {
    return this.#leaseUntilMs
  }

  /** What is on this host was confirmed, and the lease lasts since. */
  get isConfirmed(): boolean {
    return this.#isConfirmed && this.doesLast
  }

  permission(set: Pick<WantedSet, 'recovery'>): Permission {
    if (set.recovery === 'local') return 'granted'
    if (!this.doesLast) return this.#leaseUntilMs === 0 ? 'unconfirmed' : 'lease-ended'
    return this.#isConfirmed ? 'granted' : 'unconfirmed'
  }

  /**
   * A server has answered a message that was sent at `leaseUntilMs - lease`. Never shortens the lease. False if it was the
   * answer to a heartbeat and came after the end of the lease: then the session must begin anew.
   */
  renewLease(leaseUntilMs: number, by: 'welcome' | 'heartbeat'): boolean {
    if (by === 'heartbeat' && !this.doesLast) {
      this.check()
      return false
    }
    if (leaseUntilMs <= this.#leaseUntilMs) return true
    // What ended unnoticed, because this process was stopped or the machine slept, has ended nevertheless.
    this.check()
    try {
      this.#needs.lease.save(leaseUntilMs)
    } catch (error) {
      // What is not written is not known to the guard, which would end the sets of a lease that lasts.
      this.#needs.log.error('the renewal of the lease cannot be written, so it does not count', {
        cause: explain(error),
      })
      return true
    }
    this.#leaseUntilMs = leaseUntilMs
    this.#arm()
    return true
  }

  /** A complete wanted update of this boot is in the store. News from before the end of the lease confirm nothing. */
  confirm(): void {
    if (this.#isConfirmed || !this.doesLast) return
    this.#isConfirmed = true
    this.#needs.onChange()
  }

  /** Notices an end that its timer has missed. */
  check(): void {
    if (this.#timer !== undefined && !this.doesLast) this.#end()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  get doesLast(): boolean {
    return this.#needs.clock.monotonicMs() < this.#leaseUntilMs
  }

  /** A timer that runs is left: the lease is never shortened, so it fires in time, and `#end` looks how much is left. */
  #arm(): void {
    if (this.#timer !== undefined) return
    const leftMs = this.#leaseUntilMs - this.#needs.clock.monotonicMs()
    if (leftMs > 0) this.#timer = this.#needs.clock.after(leftMs, () => this.#end())
  }

  #end(): void {
    this.stop()
    if (this.doesLast) return this.#arm()
    this.#needs.log.warn('the lease has ended; sets that may run elsewhere are ended here')
    this.#isConfirmed = false
    this.#unconfirm()
    this.#needs.onChange()
  }

  #unconfirm(): void {
    try {
      this.#needs.store.unconfirm()
    } catch (error) {
      // What counts is that this life of the agent holds the sets; a full disk must not keep it from that.
      this.#needs.log.error('the end of the lease could not be recorded', { error })
    }
  }
}

/** 0: there is none in this boot, or it cannot be told. */
function readLease({ clock, lease, leaseMaxMs, log }: GateNeeds): number {
  const untilMs = lease.load()
  if (untilMs === 'none') return 0
  const isPossible = untilMs !== 'damaged' && untilMs <= clock.monotonicMs() + leaseMaxMs
  if (isPossible) return untilMs
  log.error('the record of the lease is damaged; the lease counts as ended', { untilMs })
  return 0
}
