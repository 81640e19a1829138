import { isDeepStrictEqual } from 'node:util'
import { PlatformError } from '@nubo/base'
import {
  wantedItem,
  wantedKey,
  type WantedItem,
  type WantedNetwork,
  type WantedPort,
  type WantedSet,
  type WantedUpdate,
  type WantedVm,
} from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import { logged } from '../logged.ts'
import type { Disk, DiskChange } from './disk.ts'

/** More than one host can need; a server that sends more is broken, and the session is closed. */
export const WANTED_ITEMS_MAX = 250_000
/** Epochs of sets that are gone are kept for so many of the latest, to refuse a late message about them. */
export const SEEN_SETS_MAX = 10_000

/** What one complete update changed: keys of items that were added, differ, or went. */
export interface WantedChange {
  readonly revision: number
  readonly keys: ReadonlySet<string>
  /** Those of them that were not here before. */
  readonly added: ReadonlySet<string>
}

interface Seen {
  readonly epoch: number
  readonly generation: number
}

interface Staged {
  readonly full: boolean
  readonly revision: number
  readonly upserts: Map<string, WantedItem>
  readonly removes: Set<string>
}

/**
 * What should be on this host, as the servers said last. Everything is on disk before anybody acts on it; reading is
 * from memory. A set at a lower epoch than this host has seen is refused, whoever sends it.
 */
export class WantedStore {
  readonly #disk: Disk
  readonly #log: Log
  readonly #sets = new Map<string, WantedSet>()
  readonly #vms = new Map<string, WantedVm>()
  readonly #networks = new Map<string, WantedNetwork>()
  readonly #ports = new Map<string, WantedPort>()
  // In order of last change, oldest first.
  readonly #seen = new Map<string, Seen>()
  readonly #meta = new Map<string, string>()
  #staged: Staged | undefined

  /** Reads everything. Records that this version cannot read are dropped: the servers send them again. */
  constructor(options: { disk: Disk; log: Log }) {
    this.#disk = options.disk
    this.#log = options.log
    for (const record of this.#disk.load('meta')) this.#meta.set(record.key, record.value)
    for (const record of this.#disk.load('seen')) {
      const [epoch, generation] = record.value.split(' ').map(Number)
      if (Number.isInteger(epoch) && Number.isInteger(generation))
        this.#seen.set(record.key, { epoch: epoch ?? 0, generation: generation ?? 0 })
    }
    const unreadable: string[] = []
    for (const record of this.#disk.load('item')) {
      const item = readItem(record.value)
      if (item === undefined) unreadable.push(record.key)
      else this.#hold(item)
    }
    if (unreadable.length > 0) this.#dropUnreadable(unreadable)
  }

  /** A delta would not bring them back, so the next session must start with a snapshot. */
  #dropUnreadable(keys: readonly string[]): void {
    this.#log.warn('wanted items on disk cannot be read; asking for a snapshot', {
      unreadable: keys.length,
    })
    this.#meta.delete('revision')
    try {
      this.#disk.write([
        ...keys.map((key): DiskChange => ({ type: 'remove', kind: 'item', key })),
        { type: 'remove', kind: 'meta', key: 'revision' },
      ])
    } catch (error) {
      this.#log.warn('unreadable items could not be dropped', logged(error))
    }
  }

  /** The newest complete revision on disk; null before the first snapshot. */
  get revision(): number | null {
    const text = this.#meta.get('revision')
    return text === undefined ? null : Number(text)
  }

  /** The boot during which a server last confirmed what is here; null if none has since the lease ended. */
  get confirmedBootId(): string | null {
    return this.#meta.get('confirmedBootId') ?? null
  }

  set(id: string): WantedSet | undefined {
    return this.#sets.get(id)
  }

  get sets(): ReadonlyMap<string, WantedSet> {
    return this.#sets
  }

  vm(id: string): WantedVm | undefined {
    return this.#vms.get(id)
  }

  get vms(): ReadonlyMap<string, WantedVm> {
    return this.#vms
  }

  get networks(): ReadonlyMap<string, WantedNetwork> {
    return this.#networks
  }

  get ports(): ReadonlyMap<string, WantedPort> {
    return this.#ports
  }

  /** The highest epoch and generation that this host was told for a set; also after the set is gone. */
  seen(setId: string): Seen | undefined {
    return this.#seen.get(setId)
  }

  /** Sets that were wanted here once and are not now, those that were told last; what remains of them is unknown. */
  formerSets(countMax: number): [id: string, seen: Seen][] {
    return [...this.#seen]
      .filter(([id]) => !this.#sets.has(id) && !this.#vms.has(id))
      .slice(-countMax)
  }

  /**
   * Takes one message. Undefined until the one that says `last` has come; then the whole update is on disk, and applied.
   * `bootId` is recorded as confirmed with it. Throws PROTOCOL_VIOLATION for an update that is too large, or a change
   * of something older than what is here, and HOST_DISK_FULL if it cannot be stored; then nothing has changed. Parts
   * of two updates in one are a PROTOCOL_VIOLATION too: the rest of a snapshot alone would remove what came before.
   */
  apply(update: WantedUpdate, bootId: string): WantedChange | undefined {
    if (!update.full && (this.revision === null || update.revision < this.revision))
      throw new PlatformError('PROTOCOL_VIOLATION', {
        what: 'a change of a revision that is not here',
        revision: update.revision,
        here: this.revision,
      })
    const staged = this.#stage(update)
    if (!update.last) return undefined
    this.#staged = undefined
    const refused = this.#refuseOldEpochs(staged)
    const { upserts, removes } = this.#changedItems(staged, refused)
    const seen = newlySeen(upserts, this.#seen)
    const disk: DiskChange[] = []
    const keys = new Set<string>()
    const added = new Set<string>()
    for (const [key, item] of upserts) {
      disk.push({ type: 'put', kind: 'item', key, value: JSON.stringify(item) })
      keys.add(key)
      if (this.#item(key) === undefined) added.add(key)
    }
    for (const key of removes) {
      disk.push({ type: 'remove', kind: 'item', key })
      keys.add(key)
    }
    for (const [key, { epoch, generation }] of seen)
      disk.push({ type: 'put', kind: 'seen', key, value: `${epoch} ${generation}` })
    if (this.revision !== update.revision)
      disk.push({ type: 'put', kind: 'meta', key: 'revision', value: String(update.revision) })
    if (this.confirmedBootId !== bootId)
      disk.push({ type: 'put', kind: 'meta', key: 'confirmedBootId', value: bootId })
    // A quiet delta of a known revision changes nothing; it must not cost a write.
    if (disk.length > 0) this.#disk.write(disk)
    for (const [, item] of upserts) this.#hold(item)
    for (const key of removes) this.#drop(key)
    for (const [id, value] of seen) {
      this.#seen.delete(id)
      this.#seen.set(id, value)
    }
    this.#meta.set('revision', String(update.revision))
    this.#meta.set('confirmedBootId', bootId)
    this.#forgetOldEpochs()
    return { revision: update.revision, keys, added }
  }

  /** Forgets the parts of an update whose end will not come, because its session ended. Idempotent. */
  discardPartial(): void {
    this.#staged = undefined
  }

  /** From now on instances that could have been placed elsewhere need a new confirmation. Idempotent. */
  unconfirm(): void {
    if (this.confirmedBootId === null) return
    this.#disk.write([{ type: 'remove', kind: 'meta', key: 'confirmedBootId' }])
    this.#meta.delete('confirmedBootId')
  }

  /** The servers of the region as last told; empty before the first session. */
  get servers(): readonly string[] {
    const text = this.#meta.get('servers')
    return text === undefined ? [] : text.split(' ')
  }

  /** Idempotent. What cannot be written counts for this life of the agent. */
  keepServers(servers: readonly string[]): void {
    const text = servers.join(' ')
    if (servers.length === 0 || text === this.#meta.get('servers')) return
    this.#meta.set('servers', text)
    try {
      this.#disk.write([{ type: 'put', kind: 'meta', key: 'servers', value: text }])
    } catch (error) {
      // A session is worth more than a list that the next one brings again.
      this.#log.warn('the list of servers could not be written', logged(error))
    }
  }

  /** The region's probe key as last told: hosts look for each other also while no server is connected. */
  get probeKey(): string | null {
    return this.#meta.get('probeKey') ?? null
  }

  /** Idempotent. What cannot be written counts for this life of the agent. */
  keepProbeKey(key: string): void {
    if (key === this.#meta.get('probeKey')) return
    this.#meta.set('probeKey', key)
    try {
      this.#disk.write([{ type: 'put', kind: 'meta', key: 'probeKey', value: key }])
    } catch (error) {
      this.#log.warn('the probe key could not be written', logged(error))
    }
  }

  #stage(update: WantedUpdate): Staged {
    const { full, revision } = update
    const begun = this.#staged
    if (begun !== undefined && (begun.full !== full || begun.revision !== revision)) {
      this.#staged = undefined
      throw new PlatformError('PROTOCOL_VIOLATION', {
        what: 'an update within another one',
        revision,
        begun: begun.revision,
      })
    }
    this.#staged ??= { full, revision, upserts: new Map(), removes: new Set() }
    const staged = this.#staged
    for (const key of update.removes) {
      staged.upserts.delete(key)
      staged.removes.add(key)
    }
    for (const item of update.upserts) {
      const key = wantedKey(item)
      staged.removes.delete(key)
      staged.upserts.set(key, item)
    }
    const held = this.#sets.size + this.#networks.size + this.#ports.size
    if (staged.upserts.size + (update.full ? 0 : held) > WANTED_ITEMS_MAX) {
      this.#staged = undefined
      throw new PlatformError('PROTOCOL_VIOLATION', {
        what: 'wanted items',
        limit: WANTED_ITEMS_MAX,
      })
    }
    return staged
  }

  #refuseOldEpochs(staged: Staged): Set<string> {
    const refused = new Set<string>()
    for (const [key, item] of staged.upserts) {
      if (item.kind !== 'set' && item.kind !== 'vm') continue
      const seen = this.#seen.get(item.id)
      if (seen === undefined || item.epoch >= seen.epoch) continue
      this.#log.warn('refused an instance at an old epoch', {
        key,
        epoch: item.epoch,
        seenEpoch: seen.epoch,
      })
      refused.add(key)
    }
    return refused
  }

  #changedItems(
    staged: Staged,
    refused: ReadonlySet<string>,
  ): { upserts: [key: string, item: WantedItem][]; removes: string[] } {
    const upserts = [...staged.upserts].filter(([key, item]) => {
      const before = this.#item(key)
      return !refused.has(key) && (before === undefined || !isDeepStrictEqual(before, item))
    })
    // A refused set stays as it is: an old server says nothing about the newer placement.
    const removes = staged.full
      ? [...this.#keys()].filter((key) => !staged.upserts.has(key))
      : [...staged.removes].filter((key) => this.#item(key) !== undefined)
    return { upserts, removes }
  }

  *#keys(): Iterable<string> {
    for (const items of [this.#sets, this.#vms, this.#networks, this.#ports])
      for (const item of items.values()) yield wantedKey(item)
  }

  #item(key: string): WantedItem | undefined {
    const [kind, id] = splitKey(key)
    if (kind === 'set') return this.#sets.get(id)
    if (kind === 'vm') return this.#vms.get(id)
    if (kind === 'network') return this.#networks.get(id)
    return kind === 'port' ? this.#ports.get(id) : undefined
  }

  #hold(item: WantedItem): void {
    if (item.kind === 'set') this.#sets.set(item.id, item)
    else if (item.kind === 'vm') this.#vms.set(item.id, item)
    else if (item.kind === 'network') this.#networks.set(item.id, item)
    else this.#ports.set(item.id, item)
  }

  #drop(key: string): void {
    const [kind, id] = splitKey(key)
    if (kind === 'set') this.#sets.delete(id)
    else if (kind === 'vm') this.#vms.delete(id)
    else if (kind === 'network') this.#networks.delete(id)
    else this.#ports.delete(id)
  }

  #forgetOldEpochs(): void {
    let excess = this.#seen.size - this.#sets.size - this.#vms.size - SEEN_SETS_MAX
    if (excess <= 0) return
    const forgotten: string[] = []
    for (const id of this.#seen.keys()) {
      if (excess <= 0) break
      if (this.#sets.has(id) || this.#vms.has(id)) continue
      forgotten.push(id)
      excess -= 1
    }
    try {
      this.#disk.write(forgotten.map((key): DiskChange => ({ type: 'remove', kind: 'seen', key })))
    } catch (error) {
      // The update itself has been taken, and must be acted on; the next one forgets more.
      return this.#log.warn('epochs of former sets could not be dropped', logged(error))
    }
    for (const id of forgotten) this.#seen.delete(id)
  }
}

function newlySeen(
  upserts: readonly (readonly [key: string, item: WantedItem])[],
  seen: ReadonlyMap<string, Seen>,
): [string, Seen][] {
  return upserts
    .map(([, item]) => item)
    .filter((item) => item.kind === 'set' || item.kind === 'vm')
    .filter(({ id, epoch, generation }) => {
      const before = seen.get(id)
      return before === undefined || before.epoch !== epoch || before.generation !== generation
    })
    .map(({ id, epoch, generation }) => [id, { epoch, generation }])
}

function splitKey(key: string): [kind: string, id: string] {
  const slash = key.indexOf('/')
  return [key.slice(0, slash), key.slice(slash + 1)]
}

function readItem(text: string): WantedItem | undefined {
  try {
    return wantedItem.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}
