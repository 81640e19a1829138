import type { Ledger, LedgerHost } from './ledger.ts'
import { rackOf, refusal, type PlacementAsked, type Refusal } from './placement.ts'

/** Lists of candidates that are kept, one for each kind of needs; the one that was not used for longest goes. */
const NEEDS_MAX = 64

/**
 * The hosts that can take asks of the same needs, by rack, and why the others cannot. A host leaves when it is found to
 * have no room any more, and comes back when the ledger says that it may take more: so a full host is looked at once,
 * not again for each of thousands of instances.
 */
export class Candidates {
  /** Of the hosts that cannot take it. */
  readonly refused = new Map<Refusal, Set<LedgerHost>>()
  readonly #ledger: Ledger
  readonly #asked: PlacementAsked
  readonly #racks = new Map<string, LedgerHost[]>()
  /** Where a host stands in the list of its rack; absent if it is refused. */
  readonly #places = new Map<LedgerHost, number>()
  readonly #whyNot = new Map<LedgerHost, Refusal>()

  constructor(ledger: Ledger, asked: PlacementAsked) {
    this.#ledger = ledger
    this.#asked = asked
    for (const host of ledger.hosts()) this.review(host)
  }

  /** How many there are, those not counted that were found to have no room. */
  get size(): number {
    return this.#places.size
  }

  /** Each with one host or more. Do not keep: the lists change. */
  racks(): (readonly LedgerHost[])[] {
    return [...this.#racks.values()]
  }

  /** Whether a host of the list still has room. */
  stillTakes(host: LedgerHost): boolean {
    return refusal(this.#asked, host, this.#ledger.overcommit) === undefined
  }

  /** Looks at the host anew. */
  review(host: LedgerHost): void {
    const why = refusal(this.#asked, host, this.#ledger.overcommit)
    if (why !== undefined) return this.#refuse(host, why)
    this.#forgetRefusal(host)
    if (this.#places.has(host)) return
    const rack = rackOf(host)
    const hosts = this.#racks.get(rack) ?? []
    this.#racks.set(rack, hosts)
    this.#places.set(host, hosts.length)
    hosts.push(host)
  }

  drop(host: LedgerHost): void {
    this.#forgetRefusal(host)
    this.#leave(host)
  }

  #refuse(host: LedgerHost, why: Refusal): void {
    this.#leave(host)
    if (this.#whyNot.get(host) === why) return
    this.#forgetRefusal(host)
    this.#whyNot.set(host, why)
    const same = this.refused.get(why) ?? new Set()
    this.refused.set(why, same.add(host))
  }

  #forgetRefusal(host: LedgerHost): void {
    const why = this.#whyNot.get(host)
    if (why === undefined) return
    this.#whyNot.delete(host)
    const same = this.refused.get(why)
    same?.delete(host)
    if (same?.size === 0) this.refused.delete(why)
  }

  /** The last of its rack takes its place, so that nothing moves up. */
  #leave(host: LedgerHost): void {
    const place = this.#places.get(host)
    if (place === undefined) return
    this.#places.delete(host)
    const hosts = this.#racks.get(rackOf(host))
    const last = hosts?.pop()
    if (hosts === undefined || last === undefined) return
    if (last !== host) {
      hosts[place] = last
      this.#places.set(last, place)
    }
    if (hosts.length === 0) this.#racks.delete(rackOf(host))
  }
}

/** Candidates by needs, kept up with the ledger until it is stopped. */
export class CandidateCache {
  readonly #ledger: Ledger
  readonly #byNeeds = new Map<string, Candidates>()
  readonly #unlisten: () => void

  constructor(ledger: Ledger) {
    this.#ledger = ledger
    const each = (act: (candidates: Candidates) => void): void => {
      for (const candidates of this.#byNeeds.values()) act(candidates)
    }
    this.#unlisten = ledger.listen({
      mayTakeMore: (host) => each((candidates) => candidates.review(host)),
      isGone: (host) => each((candidates) => candidates.drop(host)),
    })
  }

  stop(): void {
    this.#unlisten()
  }

  of(asked: PlacementAsked): Candidates {
    const key = needsKey(asked)
    const known = this.#byNeeds.get(key)
    const candidates = known ?? new Candidates(this.#ledger, asked)
    // The order of a map is that of insertion: what is used moves to its end.
    this.#byNeeds.delete(key)
    this.#byNeeds.set(key, candidates)
    const [oldest] = this.#byNeeds.keys()
    if (this.#byNeeds.size > NEEDS_MAX && oldest !== undefined) this.#byNeeds.delete(oldest)
    return candidates
  }
}

/** Asks with the same needs: whether a host itself can take them has one answer. */
export function needsKey(asked: PlacementAsked): string {
  const { hostId, hostLabels, cpuMillis, memoryBytes } = asked
  const labels = Object.keys(hostLabels)
  const sorted = labels.length === 0 ? '' : labels.toSorted().map((key) => [key, hostLabels[key]])
  return JSON.stringify([hostId, sorted, cpuMillis, memoryBytes])
}
