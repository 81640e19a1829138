import { setTimeout as sleep } from 'node:timers/promises'
import type { DockerClient, EngineEvent } from '@nubo/wire-docker'
import type { SetEvent, Subscription } from '../set-driver.ts'
import type { SetCgroups } from './cgroups.ts'
import { LABEL_SET, readLabels } from './labels.ts'

/** The engine hears of a shortage before the kernel has counted the process that it ends. */
const OOM_COUNT_DELAY_MS = 100
const ACTIONS: readonly string[] = ['start', 'die', 'oom']

type Listener = (event: SetEvent) => void

/** Events of the engine as events of sets. One connection for all listeners, none without listeners. */
export class SetEvents {
  readonly #docker: DockerClient
  readonly #cgroups: SetCgroups
  readonly #onBug: (error: unknown) => void
  readonly #listeners = new Set<Listener>()
  /** Containers of which the kernel has ended a process, and how many; dropped when they end. */
  readonly #oomKills = new Map<string, number>()
  #following: AbortController | null = null

  constructor(options: {
    readonly docker: DockerClient
    readonly cgroups: SetCgroups
    /** Gets what must not happen: an event stream that ended for a reason that is not the engine's. */
    readonly onBug: (error: unknown) => void
  }) {
    this.#docker = options.docker
    this.#cgroups = options.cgroups
    this.#onBug = options.onBug
  }

  add(listener: Listener): Subscription {
    // One entry per call, so that the same function may listen twice and each is ended by itself.
    const entry: Listener = (event) => listener(event)
    this.#listeners.add(entry)
    if (this.#following === null) {
      this.#following = new AbortController()
      this.#follow(this.#following.signal).catch(this.#onBug)
    }
    return {
      close: () => {
        this.#listeners.delete(entry)
        if (this.#listeners.size > 0) return
        this.#following?.abort()
        this.#following = null
      },
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const filters = { type: ['container'], event: ACTIONS, label: [LABEL_SET] }
    for await (const followed of this.#docker.followEvents({ signal, filters })) {
      switch (followed.kind) {
        case 'connected':
          this.#tell({ type: 'resync', setId: null })
          break
        case 'lost':
          this.#tell({ type: 'lost', setId: null, reason: followed.error.message })
          break
        case 'event':
          this.#translate(followed.event)
          break
      }
    }
  }

  #translate(event: EngineEvent): void {
    const labels = readLabels(event.attributes)
    if (labels === null) return
    const { setId, container } = labels
    switch (event.action) {
      case 'start':
        return this.#tell({ type: 'started', setId, container })
      case 'die':
        this.#oomKills.delete(event.id)
        return this.#tell({
          type: 'died',
          setId,
          container,
          exitCode: Number(event.attributes['exitCode'] ?? -1),
        })
      case 'oom':
        if (container !== null) this.#checkOom(event.id, setId, container).catch(this.#onBug)
    }
  }

  /**
   * On cgroup v1 every container of a set hears of a shortage in any of them; only the kernel's count tells whose
   * process it ended. A container that is gone by then has died, which is told as such.
   */
  async #checkOom(containerId: string, setId: string, container: string): Promise<void> {
    await sleep(OOM_COUNT_DELAY_MS, undefined, { ref: false })
    const kills = await this.#cgroups.oomKills(setId, containerId)
    if (kills === null || kills <= (this.#oomKills.get(containerId) ?? 0)) return
    this.#oomKills.set(containerId, kills)
    this.#tell({ type: 'oom', setId, container })
  }

  #tell(event: SetEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}
