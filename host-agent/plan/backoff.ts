export const BACKOFF_FIRST_MS = 100
/** A run of this length makes the next failure the first one again. */
export const RUN_IS_STABLE_MS = 60_000
/** Steps of the whole set (sandbox, ports, removal) are tried again at this pace. */
export const SETBACK_FIRST_MS = 500
export const SETBACK_MAX_MS = 10_000

/** The pause before the next try after `failures` (1..) in a row: doubles from `firstMs` up to `maxMs`. */
export function backoffMs(options: { failures: number; firstMs: number; maxMs: number }): number {
  // 2 ** 30 × 100 ms is beyond any maximum; the bound keeps the power finite.
  const doubled = options.firstMs * 2 ** Math.min(30, Math.max(0, options.failures - 1))
  return Math.min(options.maxMs, doubled)
}
