import { z } from 'zod'
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

/** Memories of all sets, of which the lasting part is on disk. */
export class SetMemories {
  readonly #disk: Disk
  readonly #texts = new Map<string, string>()

  constructor(disk: Disk) {
    this.#disk = disk
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
    this.#disk.write([change])
    if (text === undefined) this.#texts.delete(setId)
    else this.#texts.set(setId, text)
  }

  /** The set is gone. Idempotent. */
  forget(setId: string): void {
    if (!this.#texts.delete(setId)) return
    this.#disk.write([{ type: 'remove', kind: KIND, key: setId }])
  }
}
