import { sleep, withJitter, type Clock, type Random } from '@nubo/base'
import type { Log } from '@nubo/runtime/process'
import type { Identity } from './identity.ts'

const RETRY_FIRST_MS = 10_000
const RETRY_MAX_MS = 600_000
/** Timers hold at most 2^31 ms; a longer wait is taken in pieces. */
const SLEEP_MAX_MS = 24 * 3_600_000

/** Renews the identity at half of its time, and then again and again until `signal` aborts. Never rejects. */
export async function keepRenewed(options: {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly identity: () => Identity
  readonly renew: (identity: Identity, signal: AbortSignal) => Promise<void>
  readonly signal: AbortSignal
}): Promise<void> {
  const { clock, random, log, signal } = options
  let failures = 0
  while (!signal.aborted) {
    const identity = options.identity()
    const dueInMs = renewAtMs(identity) - clock.nowMs()
    if (dueInMs > 0) {
      await sleep(clock, Math.min(dueInMs, SLEEP_MAX_MS), signal).catch(() => undefined)
      continue
    }
    try {
      await options.renew(identity, signal)
      failures = 0
      log.info('the certificate of this host was renewed', {
        expiresAtMs: options.identity().expiresAtMs,
      })
      // A server that gives certificates of no length must not make this a loop.
      await sleep(clock, RETRY_FIRST_MS, signal).catch(() => undefined)
    } catch (error) {
      failures += 1
      log.warn('the certificate of this host could not be renewed', {
        error,
        failures,
        expiresAtMs: identity.expiresAtMs,
      })
      const delayMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(10, failures))
      await sleep(clock, withJitter(random, delayMs), signal).catch(() => undefined)
    }
  }
}

/** Half-way through its life, so that a server that is away for long does not cost the host its name. */
export function renewAtMs(identity: Pick<Identity, 'issuedAtMs' | 'expiresAtMs'>): number {
  return identity.issuedAtMs + (identity.expiresAtMs - identity.issuedAtMs) / 2
}
