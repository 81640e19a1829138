import type { HostId } from '@nubo/base'
import {
  freeOn,
  isUsable,
  rackOf,
  type FailureDomain,
  type HostFacts,
  type HostWithRoom,
  type Overcommit,
  type Resources,
} from './placement.ts'
import { Reserve } from './reserve.ts'

/** What an instance takes of a host. */
export interface LedgerSet extends Resources {
  readonly id: string
  readonly hostId: HostId | null
  /** Of its project: groups of two projects never meet. */
  readonly group: string
  readonly digests: readonly string[]
  readonly isElsewhere: boolean
}

/** A host with what is on it. Read it; only its ledger changes it. */
export class LedgerHost implements HostWithRoom {
  readonly id: HostId
  facts: HostFacts
  readonly allocated = { cpuMillis: 0, memoryBytes: 0 }
  /** Of the allocated: what would have to run on other hosts if this one were lost. */
  readonly elsewhere = { cpuMillis: 0, memoryBytes: 0 }
  readonly sets = new Map<string, LedgerSet>()
  readonly digests = new Map<string, number>()

  constructor(facts: HostFacts) {
    this.id = facts.id
    this.facts = facts
  }

  get name(): string {
    return this.facts.name
  }
  get rack(): string {
    return this.facts.rack
  }
  get zone(): string {
    return this.facts.zone
  }
  get roles(): readonly string[] {
    return this.facts.roles
  }
  get labels(): Readonly<Record<string, string>> {
    return this.facts.labels
  }
  get state(): string {
    return this.facts.state
  }
  get cordoned(): boolean {
    return this.facts.cordoned
  }
  get maintenance(): boolean {
    return this.facts.maintenance
  }
  get accelerator(): HostFacts['accelerator'] {
    return this.facts.accelerator
  }
  get capacity(): Resources | null {
    return this.facts.capacity
  }

  has(digests: readonly string[]): boolean {
    return digests.every((digest) => this.digests.has(digest))
  }
}

/** How many of one group are where. */
type GroupCounts = Readonly<Record<FailureDomain, Map<string, number>>>

export interface LedgerListener {
  /** The host is new, or there may be more room on it than before. */
  readonly mayTakeMore: (host: LedgerHost) => void
  readonly isGone: (host: LedgerHost) => void
}

const noMembers: ReadonlyMap<string, number> = new Map()

/**
 * What is taken on every host, by host and by group, kept up as hosts and sets change. Each change costs the same however
 * many hosts and sets there are. The same rows in any order make the same ledger.
 */
export class Ledger {
  readonly overcommit: Overcommit
  readonly #reserveHosts: number
  readonly #hosts = new Map<HostId, LedgerHost>()
  readonly #sets = new Map<string, LedgerSet>()
  /** Sets whose host is not known (yet), by host. */
  readonly #strays = new Map<HostId, Map<string, LedgerSet>>()
  readonly #groups = new Map<string, GroupCounts>()
  readonly #reserves = new Map<string, Readonly<Record<keyof Resources, Reserve>>>()
  readonly #listeners = new Set<LedgerListener>()
  #roomVersion = 0

  constructor(options: { overcommit: Overcommit; reserveHosts: number }) {
    this.overcommit = options.overcommit
    this.#reserveHosts = options.reserveHosts
  }

  /** Rises whenever something that fitted nowhere might fit now. */
  get roomVersion(): number {
    return this.#roomVersion
  }

  get size(): number {
    return this.#hosts.size
  }

  hosts(): MapIterator<LedgerHost> {
    return this.#hosts.values()
  }

  host(id: HostId): LedgerHost | undefined {
    return this.#hosts.get(id)
  }

  /** How many of a group are in each host (by id), rack (`zone/rack`) or zone. */
  members(group: string, level: FailureDomain): ReadonlyMap<string, number> {
    return this.#groups.get(group)?.[level] ?? noMembers
  }

  /** Returns a function that ends it. */
  listen(listener: LedgerListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  putHost(facts: HostFacts): void {
    const known = this.#hosts.get(facts.id)
    if (known !== undefined && rackOf(known) !== rackOf(facts)) this.removeHost(facts.id)
    const host = this.#hosts.get(facts.id) ?? new LedgerHost(facts)
    host.facts = facts
    this.#hosts.set(facts.id, host)
    for (const set of this.#strays.get(facts.id)?.values() ?? []) this.#attach(host, set)
    this.#strays.delete(facts.id)
    this.#weigh(host)
    this.#mayTakeMore(host)
  }

  removeHost(id: HostId): void {
    const host = this.#hosts.get(id)
    if (host === undefined) return
    for (const set of host.sets.values()) {
      this.#detach(host, set)
      this.#addStray(id, set)
    }
    this.#hosts.delete(id)
    const reserve = this.#reserves.get(host.zone)
    reserve?.cpuMillis.delete(id)
    reserve?.memoryBytes.delete(id)
    this.#roomVersion += 1
    for (const listener of this.#listeners) listener.isGone(host)
  }

  /** The set is there (or nowhere) from now on. Putting the same again changes nothing. */
  putSet(set: LedgerSet): void {
    const known = this.#sets.get(set.id)
    if (known === undefined ? set.hostId === null : isSame(known, set)) return
    this.removeSet(set.id)
    if (set.hostId === null) return
    this.#sets.set(set.id, set)
    const host = this.#hosts.get(set.hostId)
    if (host === undefined) return this.#addStray(set.hostId, set)
    this.#attach(host, set)
    this.#weigh(host)
  }

  removeSet(id: string): void {
    const set = this.#sets.get(id)
    if (set === undefined || set.hostId === null) return
    this.#sets.delete(id)
    const strays = this.#strays.get(set.hostId)
    strays?.delete(id)
    if (strays?.size === 0) this.#strays.delete(set.hostId)
    const host = this.#hosts.get(set.hostId)
    if (host === undefined) return
    this.#detach(host, set)
    this.#weigh(host)
    this.#mayTakeMore(host)
  }

  /** The set as it was put; undefined if it is nowhere. */
  placed(id: string): LedgerSet | undefined {
    return this.#sets.get(id)
  }

  /** Looks at the ledger as if the set were nowhere. `look` must not wait: others would see the same. */
  without<Value>(id: string, look: () => Value): Value {
    const set = this.#sets.get(id)
    this.removeSet(id)
    try {
      return look()
    } finally {
      if (set !== undefined) this.putSet(set)
    }
  }

  /** Whether an ordinary placement there leaves the zone's reserve whole. */
  leavesReserve(host: LedgerHost, asked: Resources & { readonly isElsewhere: boolean }): boolean {
    if (this.#reserveHosts === 0) return true
    const reserve = this.#reserveOf(host.zone)
    const { isElsewhere } = asked
    return (
      reserve.cpuMillis.leaves({ host: host.id, amount: asked.cpuMillis, isElsewhere }) &&
      reserve.memoryBytes.leaves({ host: host.id, amount: asked.memoryBytes, isElsewhere })
    )
  }

  #attach(host: LedgerHost, set: LedgerSet): void {
    host.sets.set(set.id, set)
    this.#count(host, set, 1)
  }

  #detach(host: LedgerHost, set: LedgerSet): void {
    host.sets.delete(set.id)
    this.#count(host, set, -1)
  }

  #count(host: LedgerHost, set: LedgerSet, sign: 1 | -1): void {
    host.allocated.cpuMillis += sign * set.cpuMillis
    host.allocated.memoryBytes += sign * set.memoryBytes
    if (set.isElsewhere) {
      host.elsewhere.cpuMillis += sign * set.cpuMillis
      host.elsewhere.memoryBytes += sign * set.memoryBytes
    }
    for (const digest of set.digests) add(host.digests, digest, sign)
    const group = this.#groups.get(set.group) ?? {
      host: new Map<string, number>(),
      rack: new Map<string, number>(),
      zone: new Map<string, number>(),
    }
    add(group.host, host.id, sign)
    add(group.rack, rackOf(host), sign)
    add(group.zone, host.zone, sign)
    if (group.host.size === 0) this.#groups.delete(set.group)
    else this.#groups.set(set.group, group)
  }

  #addStray(hostId: HostId, set: LedgerSet): void {
    const strays = this.#strays.get(hostId) ?? new Map<string, LedgerSet>()
    this.#strays.set(hostId, strays.set(set.id, set))
  }

  #weigh(host: LedgerHost): void {
    if (this.#reserveHosts === 0) return
    const reserve = this.#reserveOf(host.zone)
    const free = isUsable(host) ? freeOn(host, this.overcommit) : { cpuMillis: 0, memoryBytes: 0 }
    for (const kind of ['cpuMillis', 'memoryBytes'] as const)
      reserve[kind].set(host.id, { free: free[kind], elsewhere: host.elsewhere[kind] })
  }

  #reserveOf(zone: string): Readonly<Record<keyof Resources, Reserve>> {
    const known = this.#reserves.get(zone)
    if (known !== undefined) return known
    const fresh = {
      cpuMillis: new Reserve(this.#reserveHosts),
      memoryBytes: new Reserve(this.#reserveHosts),
    }
    this.#reserves.set(zone, fresh)
    return fresh
  }

  #mayTakeMore(host: LedgerHost): void {
    this.#roomVersion += 1
    for (const listener of this.#listeners) listener.mayTakeMore(host)
  }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}

function isSame(a: LedgerSet, b: LedgerSet): boolean {
  return (
    a.hostId === b.hostId &&
    a.cpuMillis === b.cpuMillis &&
    a.memoryBytes === b.memoryBytes &&
    a.group === b.group &&
    a.isElsewhere === b.isElsewhere &&
    a.digests.length === b.digests.length &&
    a.digests.every((digest, at) => digest === b.digests[at])
  )
}
