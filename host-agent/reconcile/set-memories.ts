import type { Log } from '@nubo/runtime/process'
import { z } from 'zod'
import { logged } from '../logged.ts'
import {
  emptySetMemory,
  newContainerMemory,
  type ContainerMemory,
  type SetMemory,
} from '../plan/set-memory.ts'
import type { Disk, DiskChange } from '../wanted/disk.ts'

/** The part of a set's memory that a restart of the agent must not lose: counts of restarts, and what is done. */
const kept = z.strictObject({
  incarnation: z.string(),
  containers: z.record(
    z.string(),
    z.strictObject({
      restarts: z.int(),
      isDone: z.boolean(),
      exitCode: z.int().nullable(),
      reason: z.strictObject({ code: z.string(), text: z.string() }).nullable(),
    }),
  ),
})

const KIND = 'set-memory'

/**
 * Memories of all sets, of which the lasting part is on disk. What cannot be written is only logged, and written with
 * the next change: a full disk must not keep a set from its restart.
 */
export class SetMemories {
  readonly #disk: Disk
  readonly #log: Log
  readonly #texts = new Map<string, string>()

  constructor({ disk, log }: { readonly disk: Disk; readonly log: Log }) {
    this.#disk = disk
    this.#log = log
    for (const { key, value } of disk.load(KIND)) this.#texts.set(key, value)
  }

  /** What is remembered of a set; nothing, for one that is new or cannot be read. */
  recall(setId: string): SetMemory {
    const text = this.#texts.get(setId)
    if (text === undefined) return emptySetMemory
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      return emptySetMemory
    }
    const parsed = kept.safeParse(json)
    if (!parsed.success) return emptySetMemory
    const containers = new Map<string, ContainerMemory>()
    for (const [name, container] of Object.entries(parsed.data.containers))
      containers.set(name, { ...newContainerMemory, ...container })
    return { ...emptySetMemory, incarnation: parsed.data.incarnation, containers }
  }

  /** Writes only if the lasting part changed, which for most sets is never. */
  keep(setId: string, memory: SetMemory): void {
    const lasting = [...memory.containers].filter(
      ([, { restarts, isDone }]) => restarts > 0 || isDone,
    )
    const text =
      memory.incarnation === null || lasting.length === 0
        ? undefined
        : JSON.stringify({
            incarnation: memory.incarnation,
            containers: Object.fromEntries(
              lasting.map(([name, { restarts, isDone, exitCode, reason }]) => [
                name,
                { restarts, isDone, exitCode, reason: isDone ? reason : null },
              ]),
            ),
          } satisfies z.infer<typeof kept>)
    if (text === this.#texts.get(setId)) return
    const change: DiskChange =
      text === undefined
        ? { type: 'remove', kind: KIND, key: setId }
        : { type: 'put', kind: KIND, key: setId, value: text }
    if (!this.#wrote(change)) return
    if (text === undefined) this.#texts.delete(setId)
    else this.#texts.set(setId, text)
  }

  /** The set is gone. Idempotent. */
  forget(setId: string): void {
    if (!this.#texts.delete(setId)) return
    this.#wrote({ type: 'remove', kind: KIND, key: setId })
  }

  #wrote(change: DiskChange): boolean {
    try {
      this.#disk.write([change])
      return true
    } catch (error) {
      this.#log.warn('what is remembered of a set could not be written', logged(error))
      return false
    }
  }
}
