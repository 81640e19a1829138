import type { Clock, HostId, Timer } from '@nubo/base'
import type { HostContract, WantedItem } from '@nubo/contracts/host'
import { instanceOf, type InstanceKind, type World } from '../world/index.ts'
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
  /** Spoken in the session: an older agent is not told what it has no word for. */
  readonly contract: HostContract
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
  /** Instances that were taken from the host again, with the revision of the message that told it. */
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
    for (const [key, item] of hostSlice(world, hostId))
      if (isSpoken(item, this.#deps.contract)) this.#sent.set(key, encodeItem(item))
    const upserts = [...this.#sent.values()]
    this.#outgoing = wantedMessages({ revision: world.revision, full: true, upserts, removes: [] })
    this.#pump()
  }

  /** A host that has taken this revision knows that it is not to have the instance; undefined: no message says so yet. */
  goneAt({ kind, id }: { kind: InstanceKind; id: string }): number | undefined {
    const key = `${kind}/${id}`
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
    const { world, hostId, locality, contract } = this.#deps
    const upserts: string[] = []
    const removes: string[] = []
    for (const key of this.#dirty) {
      const item = sliceItem(world, { hostId, key, locality })
      const isTold = item !== undefined && isSpoken(item, contract)
      const text = isTold ? encodeItem(item) : undefined
      const id = instanceIdIn(key)
      const isGone = id !== undefined && instanceOf(world, id) === undefined
      if (isGone) this.#takenAt.delete(key)
      if (this.#sent.get(key) === text && !this.#isAwaited(key)) continue
      if (text === undefined) {
        this.#sent.delete(key)
        if (!isGone && id !== undefined) this.#takenAt.set(key, world.revision)
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
   * Whether the end of an instance waits for the word of this host, which was never told of it: placed and removed between two
   * messages. It is told that the set is gone, so that it answers.
   */
  #isAwaited(key: string): boolean {
    const { world, hostId } = this.#deps
    const id = instanceIdIn(key)
    if (id === undefined || this.#sent.has(key) || this.#takenAt.has(key)) return false
    return instanceOf(world, id)?.hostId === hostId
  }
}

function instanceIdIn(key: string): string | undefined {
  const slash = key.indexOf('/')
  const kind = key.slice(0, slash)
  return kind === 'set' || kind === 'vm' ? key.slice(slash + 1) : undefined
}

/** VMs are words of version 3; a host that has gone back to an older agent keeps those that it has, and hears nothing of them. */
function isSpoken(item: WantedItem, contract: HostContract): boolean {
  if (contract >= 3) return true
  return item.kind === 'port' ? item.at.on !== 'vm' : item.kind !== 'vm'
}
