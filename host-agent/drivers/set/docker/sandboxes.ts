import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError } from '@nubo/base'
import { isDockerError, type DockerClient } from '@nubo/wire-docker'
import type { SetSpec } from '../set-driver.ts'
import { settleAll } from '../settle-all.ts'
import type { SetCgroups } from './cgroups.ts'
import { pauseRequest, type HostFacts } from './container-requests.ts'
import { engineError } from './engine-errors.ts'
import type { FoundSets } from './found-sets.ts'
import { LABEL_SET, pauseName, readLabels, type SetLabels } from './labels.ts'
import type { Members } from './members.ts'
import type { PauseImageLoader } from './pause-image.ts'
import type { SandboxLinks } from './sandbox-links.ts'
import type { StartSlots } from './start-slots.ts'

/** Names are freed by removals of our own; that many meetings in a row mean that somebody else makes containers. */
const CREATE_ATTEMPTS = 3
/** The engine removes a container that somebody else removes already. */
const REMOVAL_TIMEOUT_MS = 30_000
const REMOVAL_LOOK_MS = 50

export interface SandboxesParts {
  readonly docker: DockerClient
  readonly cgroups: SetCgroups
  readonly links: SandboxLinks
  readonly slots: StartSlots
  readonly found: FoundSets
  readonly members: Members
  readonly pauseImage: PauseImageLoader
  readonly hasIpv6: boolean
}

interface Pause {
  readonly id: string
  readonly isRunning: boolean
  /** Made by this call, so that nothing of the set can be older. */
  readonly isFresh: boolean
}

/** Makes and removes what holds a set together: limits, pause container, network. */
export class Sandboxes {
  readonly #parts: SandboxesParts

  constructor(parts: SandboxesParts) {
    this.#parts = parts
  }

  /** See `SetDriver.startSandbox`. Not to run twice at once for one set. */
  async start(spec: SetSpec): Promise<{ readonly pid: number }> {
    const { cgroups, members } = this.#parts
    const pause = await this.#pauseOf(spec)
    // Before anything starts: what starts in a cgroup without limits has none until somebody looks.
    await cgroups.ensure(spec.setId, spec)
    const [pid] = await settleAll([
      this.#run(spec, pause),
      // Making a container does not need its sandbox to run; starting it does.
      members.createAll(spec, pause.id, pause.isFresh),
    ])
    return { pid }
  }

  /** See `SetDriver.removeSet`. Not to run twice at once for one set. */
  async remove(setId: string): Promise<void> {
    const { cgroups, docker, found, links, members } = this.#parts
    members.forget(setId)
    try {
      const containers = await docker.containers.list({ label: [LABEL_SET] })
      const all = containers.map(({ id, labels }) => ({ id, labels: readLabels(labels) }))
      const labelled = all.filter(({ labels }) => labels?.setId === setId)
      const isPause = ({ labels }: (typeof labelled)[number]): boolean => labels?.container === null
      const pauses = labelled.filter(isPause)
      // A port may have become another set's while this one was going; then the link of that name is the other's.
      const others = new Set(
        linkNames(all.filter((one) => isPause(one) && one.labels?.setId !== setId)),
      )
      const hostInterfaces = linkNames(pauses).filter((name) => !others.has(name))
      await settleAll([
        links.remove(hostInterfaces),
        ...labelled.filter((one) => !isPause(one)).map(({ id }) => this.#removeContainer(id)),
      ])
      // The pause container goes last: as long as it is there, the names of the set's links are known.
      await settleAll(
        pauses.map(async ({ id }) => {
          await this.#removeContainer(id)
          found.finished(id)
        }),
      )
    } catch (error) {
      throw engineError(error, 'remove the set', 'IN_USE')
    }
    await cgroups.remove(setId)
  }

  /** The set's pause container, made if there is none; whatever has another epoch or specification, or is dead, goes. */
  async #pauseOf(spec: SetSpec): Promise<Pause> {
    for (let attempt = 1; attempt <= CREATE_ATTEMPTS; attempt += 1) {
      const pause = (await this.#createPause(spec)) ?? (await this.#existingPause(spec))
      if (pause !== null) return pause
      await this.remove(spec.setId)
    }
    throw new PlatformError(
      'IN_USE',
      { setId: spec.setId },
      { message: 'the pause container keeps coming back' },
    )
  }

  /** Null if the name is taken. */
  async #createPause(spec: SetSpec): Promise<Pause | null> {
    const { docker, pauseImage } = this.#parts
    const create = async (pauseImageId: string): Promise<Pause> => {
      const request = pauseRequest(spec, this.#facts(spec, pauseImageId))
      const { id } = await docker.containers.create(request, pauseName(spec.setId))
      return { id, isRunning: false, isFresh: true }
    }
    try {
      return await create(await pauseImage.id()).catch(async (error: unknown) => {
        if (!isDockerError(error, 'not_found')) throw error
        // Somebody has cleaned up images.
        await pauseImage.load()
        return await create(await pauseImage.id())
      })
    } catch (error) {
      if (isDockerError(error, 'conflict')) return null
      throw engineError(error, 'make the sandbox', 'CONTAINER_START_FAILED')
    }
  }

  /** Null if what is there must go. */
  async #existingPause(spec: SetSpec): Promise<Pause | null> {
    const { docker } = this.#parts
    try {
      const { id, status, labels: text } = await docker.containers.inspect(pauseName(spec.setId))
      const labels = readLabels(text)
      if (labels !== null && labels.epoch > spec.epoch) {
        throw new PlatformError(
          'NOT_ALLOWED_NOW',
          { setId: spec.setId, epoch: spec.epoch, foundEpoch: labels.epoch },
          { message: `the host runs placement ${labels.epoch} of the set; ${spec.epoch} is older` },
        )
      }
      const isSame = labels?.epoch === spec.epoch && labels.specHash === spec.specHash
      if (!isSame || (status !== 'created' && status !== 'running')) return null
      return { id, isRunning: status === 'running', isFresh: false }
    } catch (error) {
      // Gone since we met its name: nothing is left to be removed, but looking once more costs little.
      if (isDockerError(error, 'not_found')) return null
      throw engineError(error, 'look at the sandbox', 'CONTAINER_START_FAILED')
    }
  }

  async #run(spec: SetSpec, pause: Pause): Promise<number> {
    const { docker, found, links, slots } = this.#parts
    const { id } = pause
    try {
      if (!pause.isRunning) await slots.run(async () => await docker.containers.start(id))
      const { pid, labels } = await docker.containers.inspect(id)
      if (pid === null) throw ended(spec.setId)
      const isConnected =
        !pause.isFresh &&
        !found.isUnfinished(id) &&
        (await links.areComplete(pid, readLabels(labels)?.links ?? []))
      if (!isConnected) {
        found.begun(id)
        await links.connect(pid, spec.interfaces)
        found.finished(id)
      }
      return pid
    } catch (error) {
      throw engineError(error, 'start the sandbox', 'CONTAINER_START_FAILED')
    }
  }

  #facts(spec: SetSpec, pauseImageId: string): HostFacts {
    const { cgroups, hasIpv6 } = this.#parts
    return { cgroupParent: cgroups.parentOf(spec.setId), pauseImageId, hasIpv6 }
  }

  async #removeContainer(id: string): Promise<void> {
    const { docker } = this.#parts
    const attempts = Math.ceil(REMOVAL_TIMEOUT_MS / REMOVAL_LOOK_MS)
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await docker.containers.remove(id, { isForced: true })
      } catch (error) {
        if (isDockerError(error, 'not_found')) return
        // "removal of container … is already in progress"
        if (!isDockerError(error, 'conflict') || attempt === attempts) throw error
        await sleep(REMOVAL_LOOK_MS)
      }
    }
  }
}

function linkNames(containers: readonly { readonly labels: SetLabels | null }[]): string[] {
  return containers.flatMap(({ labels }) =>
    (labels?.links ?? []).map(({ hostInterface }) => hostInterface),
  )
}

function ended(setId: string): PlatformError {
  return new PlatformError(
    'CONTAINER_START_FAILED',
    { setId },
    { message: 'the pause container ended at once' },
  )
}
