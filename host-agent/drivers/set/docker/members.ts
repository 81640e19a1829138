import { PlatformError } from '@nubo/base'
import { isDockerError, type Container, type DockerClient } from '@nubo/wire-docker'
import type { SetContainerSpec, SetSpec } from '../set-driver.ts'
import type { SetCgroups } from './cgroups.ts'
import { memberRequest } from './container-requests.ts'
import { engineError } from './engine-errors.ts'
import type { ImageStore } from './image-store.ts'
import { memberName, pauseName, readLabels } from './labels.ts'
import type { StartSlots } from './start-slots.ts'

export interface MembersParts {
  readonly docker: DockerClient
  readonly cgroups: SetCgroups
  readonly images: ImageStore
  readonly slots: StartSlots
}

/** The business containers of sets: made while their pause container starts, started when they are told to. */
export class Members {
  readonly #parts: MembersParts
  /** Set → container → incarnation, for what was made or seen in this life: those start without another look. */
  readonly #known = new Map<string, Map<string, string>>()

  constructor(parts: MembersParts) {
    this.#parts = parts
  }

  /**
   * Makes all containers of the set that can be made, joined to `pauseId`. Never rejects: whatever is missing is made,
   * and complained about, when it is started. With `isFresh` nothing that exists already can belong to this sandbox.
   */
  async createAll(spec: SetSpec, pauseId: string, isFresh: boolean): Promise<void> {
    for (const container of spec.containers) {
      try {
        await this.#create(spec, container, pauseId)
      } catch (error) {
        if (!isFresh || !isDockerError(error, 'conflict')) continue
        await this.#remove(spec.setId, container.name)
          .then(async () => await this.#create(spec, container, pauseId))
          .catch(() => {})
      }
    }
  }

  /** Starts one, made before or not. */
  async start(spec: SetSpec, name: string): Promise<void> {
    const container = spec.containers.find((candidate) => candidate.name === name)
    if (container === undefined)
      throw new PlatformError('INVALID_INPUT', { field: 'container', value: name })
    try {
      if (this.#known.get(spec.setId)?.get(name) !== incarnationOf(spec))
        await this.#make(spec, container)
      await this.#startOrRemake(spec, container)
    } catch (error) {
      throw startError(name, error)
    }
  }

  /** Forgets what is known of a set that is being removed. */
  forget(setId: string): void {
    this.#known.delete(setId)
  }

  async #startOrRemake(spec: SetSpec, container: SetContainerSpec): Promise<void> {
    const { docker, slots } = this.#parts
    const id = memberName(spec.setId, container.name)
    const start = async (): Promise<void> =>
      await slots.run(async () => await docker.containers.start(id))
    try {
      await start()
    } catch (error) {
      // It, or the sandbox that it was made for, is not there any more; `make` tells which.
      if (!isDockerError(error, 'not_found')) throw error
      await this.#make(spec, container)
      await start()
    }
  }

  /** Makes the container unless the right one is there. */
  async #make(spec: SetSpec, container: SetContainerSpec): Promise<void> {
    const { docker } = this.#parts
    const [pause, found] = await Promise.all([
      this.#inspect(pauseName(spec.setId)),
      this.#inspect(memberName(spec.setId, container.name)),
    ])
    const sandbox = pause === null ? null : readLabels(pause.labels)
    if (pause?.status !== 'running' || sandbox === null || !isOf(sandbox, spec)) {
      throw new PlatformError(
        'NOT_ALLOWED_NOW',
        { setId: spec.setId, epoch: spec.epoch },
        { message: 'the sandbox of this placement of the set does not run' },
      )
    }
    const labels = found === null ? null : readLabels(found.labels)
    if (found !== null) {
      const isRight =
        labels !== null && isOf(labels, spec) && found.networkMode === `container:${pause.id}`
      if (isRight) return this.#know(spec, container.name)
      await docker.containers.remove(found.id, { isForced: true })
    }
    await this.#create(spec, container, pause.id)
  }

  async #create(spec: SetSpec, container: SetContainerSpec, pauseId: string): Promise<void> {
    const { docker, cgroups, images } = this.#parts
    const { digest } = container.image
    const create = async (): Promise<void> => {
      const imageId = await images.idOf(digest)
      if (imageId === null) {
        throw new PlatformError(
          'IMAGE_PULL_FAILED',
          { digest },
          { message: 'the host does not have the image' },
        )
      }
      const request = memberRequest({
        spec,
        container,
        imageId,
        pauseId,
        cgroupParent: cgroups.parentOf(spec.setId),
      })
      await docker.containers.create(request, memberName(spec.setId, container.name))
    }
    await create().catch(async (error: unknown) => {
      if (!isDockerError(error, 'not_found')) throw error
      images.forget(digest)
      await create()
    })
    this.#know(spec, container.name)
  }

  #know(spec: SetSpec, name: string): void {
    const known = this.#known.get(spec.setId) ?? new Map<string, string>()
    known.set(name, incarnationOf(spec))
    this.#known.set(spec.setId, known)
  }

  async #remove(setId: string, name: string): Promise<void> {
    await this.#parts.docker.containers.remove(memberName(setId, name), { isForced: true })
  }

  async #inspect(name: string): Promise<Container | null> {
    return await this.#parts.docker.containers.inspect(name).catch((error: unknown) => {
      if (isDockerError(error, 'not_found')) return null
      throw error
    })
  }
}

function incarnationOf(spec: SetSpec): string {
  return `${spec.epoch} ${spec.specHash}`
}

function isOf(
  labels: { readonly epoch: number; readonly specHash: string },
  spec: SetSpec,
): boolean {
  return labels.epoch === spec.epoch && labels.specHash === spec.specHash
}

function startError(name: string, error: unknown): unknown {
  // "cannot join network of a non running container": the pause has ended since we looked.
  if (isDockerError(error, 'conflict') && error.message.includes('non running container')) {
    return new PlatformError(
      'NOT_ALLOWED_NOW',
      { container: name },
      { message: 'the sandbox of the set has ended', cause: error },
    )
  }
  return engineError(error, `start ${name}`, 'CONTAINER_START_FAILED')
}
