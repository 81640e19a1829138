import { sleep, withJitter, type Random } from '@nubo/base'
import type { Operation } from '@nubo/contracts'
import { isPassing, UnreachableError } from './errors.ts'
import type { Transport } from './transport.ts'

// Short enough that a person sees each step, long enough that waiting costs a server almost nothing. The end is
// answered at once in any case.
const POLL_WITH_PROGRESS_MS = 500
const POLL_MS = 30_000
const POLL_GRACE_MS = 10_000
const OUTAGE_MAX_MS = 60_000
const RETRY_PAUSE_MS = 500
// A server that answers at once although it was asked to wait must not be asked in a tight loop.
const POLL_PERIOD_MIN_MS = 200

export interface WaitOptions {
  readonly project?: string | undefined
  /** Told whenever the operation is seen changed. */
  readonly onProgress?: ((operation: Operation) => void) | undefined
  /** Told when no server answers for a moment, with what is wrong. */
  readonly onOutage?: ((error: Error) => void) | undefined
  readonly signal?: AbortSignal | undefined
  /** How long all servers may be away before the wait fails; default 60 s. */
  readonly outageMaxMs?: number | undefined
}

export type ShowOperation = (waitMs: number, timeoutMs: number) => Promise<Operation>

export function hasEnded(operation: Operation): boolean {
  return operation.endedAtMs !== null
}

/**
 * Waits until an operation has ended, however it ended, across lost servers. Operations have a deadline of their own,
 * so the wait ends too. Throws what `show` throws; UnreachableError only when it lasts for `outageMaxMs`.
 */
export async function waitForEnd(
  transport: Pick<Transport, 'clock'> & { random: Random },
  show: ShowOperation,
  options: WaitOptions,
): Promise<Operation> {
  const { clock } = transport
  const waitMs = options.onProgress === undefined ? POLL_MS : POLL_WITH_PROGRESS_MS
  let lostSinceMs: number | undefined
  let toldAtMs: number | undefined
  for (;;) {
    const startedMs = clock.monotonicMs()
    try {
      const operation = await show(waitMs, waitMs + POLL_GRACE_MS)
      lostSinceMs = undefined
      if (operation.updatedAtMs !== toldAtMs) options.onProgress?.(operation)
      toldAtMs = operation.updatedAtMs
      if (hasEnded(operation)) return operation
      const tookMs = clock.monotonicMs() - startedMs
      if (tookMs < POLL_PERIOD_MIN_MS) {
        await sleep(clock, POLL_PERIOD_MIN_MS, options.signal)
      }
    } catch (error) {
      options.signal?.throwIfAborted()
      const mayPass = error instanceof UnreachableError || isPassing(error)
      const nowMs = clock.monotonicMs()
      lostSinceMs ??= nowMs
      if (!mayPass || nowMs - lostSinceMs > (options.outageMaxMs ?? OUTAGE_MAX_MS)) throw error
      if (error instanceof Error) options.onOutage?.(error)
      await sleep(clock, withJitter(transport.random, RETRY_PAUSE_MS), options.signal)
    }
  }
}
