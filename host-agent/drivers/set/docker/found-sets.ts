import { isDockerError, type Container, type DockerClient } from '@nubo/wire-docker'
import type { FoundContainer, FoundSet } from '../set-driver.ts'
import type { SetCgroups } from './cgroups.ts'
import { engineError } from './engine-errors.ts'
import { LABEL_SET, readLabels, type SetLabels } from './labels.ts'
import type { SandboxLinks } from './sandbox-links.ts'

/** The client has 16 connections and refuses more than 1,024 calls at once, which a full host has containers for. */
const PARALLEL_INSPECTS_MAX = 32

/** A container of ours and what its labels say. */
export interface LabelledContainer {
  readonly container: Container
  readonly labels: SetLabels
}

export interface FoundSetsParts {
  readonly docker: DockerClient
  readonly cgroups: SetCgroups
  readonly links: SandboxLinks
}

/** Reads the sets of a host from the labels of its containers: the only record of what runs. */
export class FoundSets {
  readonly #parts: FoundSetsParts
  /** Pause containers whose network failed half-way in this life of the agent. */
  readonly #unfinished = new Set<string>()

  constructor(parts: FoundSetsParts) {
    this.#parts = parts
  }

  /** The network of this pause container is being made; until `finished` its sandbox is incomplete. */
  begun(pauseId: string): void {
    this.#unfinished.add(pauseId)
  }

  finished(pauseId: string): void {
    this.#unfinished.delete(pauseId)
  }

  isUnfinished(pauseId: string): boolean {
    return this.#unfinished.has(pauseId)
  }

  /** Containers of all sets, or of one. */
  async containers(setId?: string): Promise<LabelledContainer[]> {
    const { docker } = this.#parts
    try {
      const label = setId === undefined ? LABEL_SET : `${LABEL_SET}=${setId}`
      const summaries = await docker.containers.list({ label: [label] })
      const containers = await mapInParallel(summaries, PARALLEL_INSPECTS_MAX, async ({ id }) => {
        return await docker.containers.inspect(id).catch((error: unknown) => {
          // Removed since the list was made.
          if (isDockerError(error, 'not_found')) return null
          throw error
        })
      })
      return containers.flatMap((container) => {
        const labels = container === null ? null : readLabels(container.labels)
        return container === null || labels === null ? [] : [{ container, labels }]
      })
    } catch (error) {
      throw engineError(error, 'list containers', 'ENGINE_UNAVAILABLE')
    }
  }

  async read(setId?: string): Promise<FoundSet[]> {
    const groups = new Map<string, LabelledContainer[]>()
    for (const found of await this.containers(setId)) {
      const key = `${found.labels.setId} ${found.labels.epoch}`
      groups.set(key, [...(groups.get(key) ?? []), found])
    }
    return await Promise.all([...groups.values()].map(async (group) => await this.#setOf(group)))
  }

  async #setOf(group: readonly LabelledContainer[]): Promise<FoundSet> {
    const pause = group.find(({ labels }) => labels.container === null)
    const leader = pause ?? group[0]
    if (leader === undefined) throw new RangeError('a group has a container')
    const { setId, epoch, specHash } = leader.labels
    const [state, containers] = await Promise.all([
      this.#pauseState(pause),
      Promise.all(
        group.flatMap(({ container, labels }) =>
          labels.container === null ? [] : [this.#containerOf(setId, labels.container, container)],
        ),
      ),
    ])
    return {
      setId,
      epoch,
      specHash,
      pause: state,
      pausePid: pause?.container.pid ?? null,
      containers: containers.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    }
  }

  async #pauseState(pause: LabelledContainer | undefined): Promise<FoundSet['pause']> {
    if (pause === undefined) return 'absent'
    const { status, pid, id } = pause.container
    switch (status) {
      case 'created':
        return 'incomplete'
      case 'running':
      case 'paused':
      case 'restarting':
        if (pid === null || this.#unfinished.has(id)) return 'incomplete'
        return (await this.#parts.links.areComplete(pid, pause.labels.links))
          ? 'running'
          : 'incomplete'
      case 'removing':
      case 'exited':
      case 'dead':
        return 'exited'
    }
  }

  async #containerOf(setId: string, name: string, container: Container): Promise<FoundContainer> {
    const { id, status, exitCode, error, startedAtMs, finishedAtMs } = container
    const state = stateOf(container)
    const kills = status === 'running' ? ((await this.#parts.cgroups.oomKills(setId, id)) ?? 0) : 0
    return {
      name,
      containerId: id,
      state,
      exitCode: state === 'exited' ? exitCode : null,
      // On cgroup v1 the engine hears of every sibling's shortage too; only who was killed by it ends with 137.
      oomKilled: state === 'exited' ? container.isOomKilled && exitCode === 137 : kills > 0,
      startedAtMs,
      finishedAtMs: state === 'exited' ? endOf(startedAtMs, finishedAtMs) : null,
      error: error === '' ? null : error,
    }
  }
}

/** The engine notes the start when it has heard of it: after the end, if a program ends at once. */
function endOf(startedAtMs: number | null, finishedAtMs: number | null): number | null {
  return startedAtMs === null || finishedAtMs === null
    ? finishedAtMs
    : Math.max(startedAtMs, finishedAtMs)
}

function stateOf(container: Container): FoundContainer['state'] {
  switch (container.status) {
    case 'created':
      return container.error === '' ? 'created' : 'exited'
    case 'running':
    case 'paused':
    case 'restarting':
      return 'running'
    case 'removing':
    case 'exited':
    case 'dead':
      return 'exited'
  }
}

/** Results in the order of the items, with at most `max` pieces of work under way. Rejects with the first error. */
async function mapInParallel<Item, Result>(
  items: readonly Item[],
  max: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  // One iterator for all lanes, so that each item is taken once.
  const rest = items.entries()
  const lanes = Array.from({ length: Math.min(max, items.length) }, async () => {
    for (const [at, item] of rest) results[at] = await work(item)
  })
  await Promise.all(lanes)
  return results
}
