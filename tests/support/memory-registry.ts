import { createHash } from 'node:crypto'
import { PlatformError } from '@nubo/base'
import type { ImageRegistry } from '@nubo/control-plane'

/** An image registry that keeps everything in memory and checks what the real one checks. */
export class MemoryRegistry implements ImageRegistry {
  readonly address = 'registry.test:5000'
  /** 'repository@digest' → size. */
  readonly blobs = new Map<string, number>()
  /** 'repository@digest' → text. */
  readonly manifests = new Map<string, string>()
  collections = 0
  isAway = false

  async hasBlob(repository: string, digest: string): Promise<boolean> {
    this.#enter()
    return this.blobs.has(`${repository}@${digest}`)
  }

  async putBlob(
    repository: string,
    blob: Parameters<ImageRegistry['putBlob']>[1],
    signal: AbortSignal,
  ): Promise<void> {
    this.#enter()
    const hash = createHash('sha256')
    let sizeBytes = 0
    for await (const chunk of blob.open()) {
      signal.throwIfAborted()
      const bytes = Buffer.from(chunk as Uint8Array) // proof: opened without an encoding
      hash.update(bytes)
      sizeBytes += bytes.length
    }
    if (`sha256:${hash.digest('hex')}` !== blob.digest || sizeBytes !== blob.sizeBytes)
      throw new Error('a blob does not have the digest and size that were said')
    this.blobs.set(`${repository}@${blob.digest}`, sizeBytes)
  }

  async putManifest(
    repository: string,
    manifest: { mediaType: string; text: string },
  ): Promise<string> {
    this.#enter()
    for (const digest of manifest.text.match(/sha256:[0-9a-f]{64}/g) ?? []) {
      if (!this.blobs.has(`${repository}@${digest}`))
        throw new Error(`a manifest names the blob ${digest}, which is not there`)
    }
    const digest = `sha256:${createHash('sha256').update(manifest.text).digest('hex')}`
    this.manifests.set(`${repository}@${digest}`, manifest.text)
    return digest
  }

  async deleteManifest(repository: string, digest: string): Promise<void> {
    this.#enter()
    this.manifests.delete(`${repository}@${digest}`)
  }

  async collectGarbage(kept: ReadonlySet<string>): Promise<void> {
    this.collections += 1
    for (const stored of [this.blobs, this.manifests])
      for (const key of stored.keys())
        if (!kept.has(key.slice(0, key.indexOf('@')))) stored.delete(key)
  }

  #enter(): void {
    if (this.isAway) throw new PlatformError('REGISTRY_UNAVAILABLE', { registry: this.address })
  }
}
