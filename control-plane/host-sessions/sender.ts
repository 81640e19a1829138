import type { Clock, HostId, Timer } from '@nubo/base'
import type { World } from '../world/index.ts'
import type { HostChannel } from './needs.ts'
import { hostSlice, sliceItem, type Locality } from './slice.ts'
import { encodeItem, wantedMessages } from './wanted-messages.ts'

/** While this much waits in the channel nothing is added; changes meanwhile are merged into one. */
const CHANNEL_BYTES_MAX = 1_048_576
const CONGESTED_RETRY_MS = 20
/** A host that takes nothing for this long is cut off; it gets a snapshot when it returns. */
const CONGESTED_MAX_MS = 30_000

export interface WantedSenderDeps {
  readonly channel: HostChannel
  readonly world: World
  readonly locality: Locality
  readonly clock: Clock
  readonly hostId: HostId
  /** The host takes nothing any more. */
  readonly onStalled: () => void
}

/**
 * Keeps one agent's wanted state equal to its slice of the world: first a snapshot (whatever the agent has on disk: the
 * slice of a host is small, and a snapshot also repairs), then the difference after each change that may touch it.
 * Differences are taken against what was sent, so merged or repeated hints lose nothing.
 */
export class WantedSender {
  readonly #deps: WantedSenderDeps
  readonly #sent = new Map<string, string>()
  /** Sets that were taken from the host again, with the revision of the message that told it. */
  readonly #takenAt = new Map<string, number>()
  #snapshotRevision = Infinity
  readonly #dirty = new Set<string>()
  #outgoing: Generator<string> | undefined
  #retry: Timer | undefined
  #congestedSinceMs: number | undefined
  #stopped = false

  constructor(deps: WantedSenderDeps) {
    this.#deps = deps
  }

  /** Sends the snapshot of this moment. From now on `touch` must hear of every change. */
  start(): void {
    const { world, hostId } = this.#deps
    this.#snapshotRevision = world.revision
    for (const [key, item] of hostSlice(world, hostId)) this.#sent.set(key, encodeItem(item))
    const upserts = [...this.#sent.values()]
    this.#outgoing = wantedMessages({ revision: world.revision, full: true, upserts, removes: [] })
    this.#pump()
  }

  /** A host that has taken this revision knows that it is not to have the set; undefined: no message says so yet. */
  goneAt(setId: string): number | undefined {
    const key = `set/${setId}`
    if (this.#sent.has(key)) return undefined
    return this.#takenAt.get(key) ?? this.#snapshotRevision
  }

  /** The items of these keys may have changed. Sends at once, unless the channel is congested. */
  touch(keys: Iterable<string>): void {
    for (const key of keys) this.#dirty.add(key)
    if (this.#retry === undefined) this.#pump()
  }

  stop(): void {
    this.#stopped = true
    this.#retry?.cancel()
  }

  #pump(): void {
    this.#retry = undefined
    while (!this.#stopped) {
      if (this.#isCongested()) return this.#retryLater()
      this.#outgoing ??= this.#difference()
      if (this.#outgoing === undefined) return
      const next = this.#outgoing.next()
      if (next.done === true) this.#outgoing = undefined
      else this.#deps.channel.send(next.value)
    }
  }

  #isCongested(): boolean {
    if (this.#deps.channel.bufferedBytes > CHANNEL_BYTES_MAX) return true
    this.#congestedSinceMs = undefined
    return false
  }

  #retryLater(): void {
    const { clock, onStalled } = this.#deps
    const nowMs = clock.monotonicMs()
    this.#congestedSinceMs ??= nowMs
    if (nowMs - this.#congestedSinceMs > CONGESTED_MAX_MS) {
      this.stop()
      onStalled()
      return
    }
    this.#retry = clock.after(CONGESTED_RETRY_MS, () => this.#pump())
  }

  #difference(): Generator<string> | undefined {
    const { world, hostId, locality } = this.#deps
    const upserts: string[] = []
    const removes: string[] = []
    for (const key of this.#dirty) {
      const item = sliceItem(world, { hostId, key, locality })
      const text = item === undefined ? undefined : encodeItem(item)
      const isGone = key.startsWith('set/') && world.set.get(key.slice('set/'.length)) === undefined
      if (isGone) this.#takenAt.delete(key)
      if (this.#sent.get(key) === text && !this.#isAwaited(key)) continue
      if (text === undefined) {
        this.#sent.delete(key)
        if (!isGone && key.startsWith('set/')) this.#takenAt.set(key, world.revision)
        removes.push(key)
      } else {
        this.#sent.set(key, text)
        upserts.push(text)
      }
    }
    this.#dirty.clear()
    if (upserts.length + removes.length === 0) return undefined
    return wantedMessages({ revision: world.revision, full: false, upserts, removes })
  }

  /**
   * Whether the end of a set waits for the word of this host, which was never told of it: placed and removed between two
   * messages. It is told that the set is gone, so that it answers.
   */
  #isAwaited(key: string): boolean {
    const { world, hostId } = this.#deps
    if (!key.startsWith('set/') || this.#sent.has(key) || this.#takenAt.has(key)) return false
    return world.set.get(key.slice('set/'.length))?.hostId === hostId
  }
}
