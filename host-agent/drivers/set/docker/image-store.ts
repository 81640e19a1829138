import { formatBytes, PlatformError } from '@nubo/base'
import { isDockerError, type DockerClient, type ImageProgress } from '@nubo/wire-docker'
import type { ImageReference, RegistryToken } from '../set-driver.ts'
import { engineError } from './engine-errors.ts'

interface Transfer {
  readonly done: Promise<void>
  readonly listeners: Set<(progress: string) => void>
}

/**
 * The images of one engine, by the digest of their manifest: whatever repository a digest came from, its content is
 * the same. Transfers of one digest are shared by all who ask.
 */
export class ImageStore {
  readonly #docker: DockerClient
  /** Digest of the manifest → id in the engine, for what is known to be there. */
  #ids = new Map<string, string>()
  readonly #transfers = new Map<string, Transfer>()

  constructor(docker: DockerClient) {
    this.#docker = docker
  }

  /** The engine's id of an image, or null if it does not have it. */
  async idOf(digest: string): Promise<string | null> {
    return this.#ids.get(digest) ?? (await this.#lookUp(digest))
  }

  /** The engine did not know an id that we had: images were removed behind our back. */
  forget(digest: string): void {
    this.#ids.delete(digest)
  }

  async ensure(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void,
  ): Promise<void> {
    const { digest } = image
    const running = this.#transfers.get(digest)
    if (running !== undefined) {
      running.listeners.add(onProgress)
      return await running.done
    }
    const listeners = new Set([onProgress])
    const done = this.#fetchIfAbsent(image, auth, (progress) => {
      for (const listener of listeners) listener(progress)
    }).finally(() => this.#transfers.delete(digest))
    this.#transfers.set(digest, { done, listeners })
    return await done
  }

  async #fetchIfAbsent(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void,
  ): Promise<void> {
    if ((await this.#lookUp(image.digest)) !== null) return
    const { registry, token } = await auth()
    const progress = new TransferProgress()
    let told = ''
    try {
      await this.#docker.images.pull({
        repository: hasRegistry(image.repository)
          ? image.repository
          : `${registry}/${image.repository}`,
        reference: image.digest,
        auth: { serverAddress: registry, registryToken: token },
        onProgress: (step) => {
          progress.add(step)
          const text = progress.text()
          if (text !== told) onProgress(text)
          told = text
        },
      })
    } catch (error) {
      throw pullError(image, error)
    }
    if ((await this.#lookUp(image.digest)) === null) {
      throw new PlatformError(
        'IMAGE_PULL_FAILED',
        { ...image },
        { message: 'the engine lost the image it fetched' },
      )
    }
  }

  /** Asks the engine; also forgets what it does not have any more. */
  async #lookUp(digest: string): Promise<string | null> {
    try {
      const images = await this.#docker.images.list()
      const known = images.flatMap((image) =>
        image.repoDigests.map((name) => [name.slice(name.indexOf('@') + 1), image.id] as const),
      )
      this.#ids = new Map(known)
    } catch (error) {
      throw engineError(error, 'list images', 'ENGINE_UNAVAILABLE')
    }
    return this.#ids.get(digest) ?? null
  }
}

/** As Docker tells registries from the first part of a plain name: by a dot or a port. */
function hasRegistry(repository: string): boolean {
  const slash = repository.indexOf('/')
  if (slash < 0) return false
  const first = repository.slice(0, slash)
  return first.includes('.') || first.includes(':') || first === 'localhost'
}

function pullError(image: ImageReference, error: unknown): unknown {
  const what = `fetch ${image.repository}`
  // Half of an hour-long transfer is not the engine being away: the step failed, and is tried again.
  if (isDockerError(error, 'timeout')) {
    return new PlatformError(
      'IMAGE_PULL_FAILED',
      { ...image },
      { message: error.message, cause: error },
    )
  }
  return engineError(error, what, 'IMAGE_PULL_FAILED')
}

/** Adds up what the engine tells of each layer. */
class TransferProgress {
  readonly #layers = new Map<
    string,
    { currentBytes: number; totalBytes: number; isFetched: boolean }
  >()

  add(step: ImageProgress): void {
    // Steps without an id, or with the digest as id, are about the whole.
    if (step.id === null || !/^[0-9a-f]{12,}$/.test(step.id)) return
    const layer = this.#layers.get(step.id) ?? { currentBytes: 0, totalBytes: 0, isFetched: false }
    if (step.status === 'Downloading' && step.currentBytes !== null && step.totalBytes !== null) {
      layer.currentBytes = step.currentBytes
      layer.totalBytes = step.totalBytes
    } else if (/^(Download complete|Extracting|Pull complete|Already exists)/.test(step.status)) {
      layer.currentBytes = layer.totalBytes
      layer.isFetched = true
    }
    this.#layers.set(step.id, layer)
  }

  /** Changes at most a hundred times while bytes arrive. */
  text(): string {
    const layers = [...this.#layers.values()]
    if (layers.length === 0) return 'asking the registry'
    if (layers.every(({ isFetched }) => isFetched)) return 'unpacking'
    const totalBytes = layers.reduce((sum, layer) => sum + layer.totalBytes, 0)
    if (totalBytes === 0) return 'waiting for the first bytes'
    const currentBytes = layers.reduce((sum, layer) => sum + layer.currentBytes, 0)
    const percent = Math.floor((100 * currentBytes) / totalBytes)
    return `${percent} % of ${formatBytes(totalBytes)}`
  }
}
