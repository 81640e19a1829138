import type { ProbeAnswer, ProbeResult, ProbeTarget } from '@nubo/contracts/host'

/** How hosts look for each other on the underlay: a second sign of life beside their sessions. */
export interface UnderlayProbes {
  /** Where this host answers, 'address:port'; null: it does not. */
  readonly address: string | null
  /** Answers from now on, with what `answer` says at that moment, once there is a key. Once. */
  start(answer: () => ProbeAnswer): void
  /** The region's key, 32 bytes as hex. */
  useKey(key: string): void
  /**
   * Asks each target several times; ends when all have answered, at the latest after `timeoutMs`. Targets that could not be
   * asked, because there is no key, no way onto the underlay or no such address, are not in the results. Never rejects.
   */
  probe(targets: readonly ProbeTarget[], timeoutMs: number): Promise<readonly ProbeResult[]>
  /** Idempotent. */
  close(): void
}

/** Of a host that has no address on the underlay. */
export const noProbes: UnderlayProbes = {
  address: null,
  start: () => undefined,
  useKey: () => undefined,
  probe: () => Promise.resolve([]),
  close: () => undefined,
}
