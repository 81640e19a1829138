import type { Readable } from 'node:stream'

/** What images need of the registry; adapters/registry.ts implements it. Errors: REGISTRY_UNAVAILABLE. */
export interface ImageRegistry {
  /** 'address:port', as hosts dial it. */
  readonly address: string
  hasBlob(repository: string, digest: string): Promise<boolean>
  /** Idempotent. The registry checks the digest. */
  putBlob(
    repository: string,
    blob: { digest: string; sizeBytes: number; open: () => Readable },
    signal: AbortSignal,
  ): Promise<void>
  /** Returns the digest of the manifest. */
  putManifest(
    repository: string,
    manifest: { mediaType: string; text: string },
    signal: AbortSignal,
  ): Promise<string>
  /** Idempotent: a manifest that is gone is fine. */
  deleteManifest(repository: string, digest: string): Promise<void>
  /**
   * Removes repositories that are not in `kept` (an import that was killed, a removal that did not reach the registry),
   * and blobs that no manifest names. Only while nothing is written: the caller holds the lock; `signal` says when not.
   */
  collectGarbage(kept: ReadonlySet<string>, signal: AbortSignal): Promise<void>
}

/**
 * Keeps garbage collection and imports apart, over all servers of the region. The signal of the work aborts when the
 * lock is lost, since from then on the other side may begin.
 */
export interface ImportLock {
  /** Shared by imports; waits for a running collection, REGISTRY_UNAVAILABLE after a while. */
  whileImporting<Value>(work: (signal: AbortSignal) => Promise<Value>): Promise<Value>
  /** Exclusive; does nothing and returns false while an import runs. */
  whileCollecting(work: (signal: AbortSignal) => Promise<void>): Promise<boolean>
}
