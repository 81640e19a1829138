import { integerBelow, seededRandom, type Random } from '@nubo/base'
import { CandidateCache, needsKey, type Candidates } from './candidates.ts'
import type { Ledger, LedgerHost } from './ledger.ts'
import {
  byScore,
  domainOf,
  lowerScore,
  refusal,
  refusals,
  refusalText,
  score,
  type PlacementAsked,
  type Refusal,
  type RejectedHost,
  type ScoredHost,
} from './placement.ts'
import { REJECTED_MAX, RUNNERS_UP_MAX, type RejectionSummary } from './summary.ts'

/** What is asked for one instance. */
export interface Ask extends PlacementAsked {
  readonly group: string
  readonly digests: readonly string[]
  /** It would run on another host if its own were lost. */
  readonly isElsewhere: boolean
  /** Its host was lost: what is held in reserve is for it. */
  readonly isRecovering: boolean
}

export type Choice =
  | (RejectionSummary & {
      readonly found: true
      readonly host: LedgerHost
      readonly score: number
    })
  | (RejectionSummary & { readonly found: false })

/**
 * So many hosts that can take it are compared before the best of them is chosen, and all of them where there are no
 * more. Of 64 drawn at random the best is among the best 7 % of all hosts 99 times of 100 (1 − 0.93^64).
 */
export const COMPARED_HOSTS_MIN = 64
/** Answers "nowhere" that are remembered; the oldest is forgotten. */
const HOPELESS_MAX = 10_000

type Scored = ScoredHost & { readonly host: LedgerHost }

interface Comparison {
  /** Of the hosts that can take it the best, the best first; and how many were compared. */
  readonly best: Scored[]
  compared: number
  /** What the group or the reserve forbids; the host itself could take it. */
  readonly refused: { readonly host: LedgerHost; readonly why: Refusal }[]
}

/**
 * Chooses hosts out of a ledger at a cost that does not grow with the sets that there are, and hardly with the hosts:
 * asks with the same needs share the list of hosts that can take them, and of these a random part is compared. It never
 * says "nowhere" without having looked at every host. The same ledger and the same seed make the same choices.
 */
export class Chooser {
  readonly #ledger: Ledger
  readonly #random: Random
  readonly #cache: CandidateCache
  readonly #hopeless = new Map<string, RejectionSummary>()
  #hopelessAt = -1

  constructor(ledger: Ledger, random: Random) {
    this.#ledger = ledger
    // Several draws a decision: the system's own are too slow for that and need not be secret.
    this.#random = seededRandom(integerBelow(random, 2 ** 32))
    this.#cache = new CandidateCache(ledger)
  }

  stop(): void {
    this.#cache.stop()
  }

  choose(ask: Ask): Choice {
    const key = hopelessKey(ask)
    if (this.#hopelessAt !== this.#ledger.roomVersion) this.#hopeless.clear()
    this.#hopelessAt = this.#ledger.roomVersion
    const known = this.#hopeless.get(key)
    if (known !== undefined) return { found: false, ...known }
    const candidates = this.#cache.of(ask)
    const compared = this.#compare(ask, candidates)
    const best = compared.best[0]
    const summary = this.#summarize(ask, candidates, compared)
    if (best !== undefined) return { found: true, host: best.host, score: best.score, ...summary }
    if (this.#hopeless.size >= HOPELESS_MAX) this.#hopeless.clear()
    this.#hopeless.set(key, summary)
    return { found: false, ...summary }
  }

  #compare(ask: Ask, candidates: Candidates): Comparison {
    const found: Comparison = { best: [], compared: 0, refused: [] }
    const bestMax = 1 + (this.#isSmall() ? REJECTED_MAX : RUNNERS_UP_MAX)
    const { antiAffinity = null } = ask
    const hosts = this.#ledger.members(ask.group, 'host')
    const spread = this.#ledger.members(ask.group, ask.spread)
    const excluded =
      antiAffinity === null ? undefined : this.#ledger.members(ask.group, antiAffinity)
    for (const rack of this.#racksInOrder(ask, candidates)) {
      // Full hosts leave the list only after it was read.
      const full: LedgerHost[] = []
      const start = integerBelow(this.#random, rack.length)
      for (let at = 0; at < rack.length && found.compared < COMPARED_HOSTS_MIN; at += 1) {
        const host = rack[(start + at) % rack.length]
        if (host === undefined) continue
        if (!candidates.stillTakes(host)) full.push(host)
        else if (excluded?.has(domainOf(host, antiAffinity ?? 'host')) === true)
          found.refused.push({ host, why: 'anti-affinity' })
        else if (!ask.isRecovering && !this.#ledger.leavesReserve(host, ask))
          found.refused.push({ host, why: 'reserve' })
        else {
          found.compared += 1
          keepBest(found.best, { host, score: this.#score(ask, host, { hosts, spread }) }, bestMax)
        }
      }
      for (const host of full) candidates.review(host)
      if (found.compared >= COMPARED_HOSTS_MIN) break
    }
    return found
  }

  #score(
    ask: Ask,
    host: LedgerHost,
    members: Record<'hosts' | 'spread', ReadonlyMap<string, number>>,
  ): number {
    const standing = {
      capacity: host.capacity,
      allocated: host.allocated,
      groupMembers: members.hosts.get(host.id) ?? 0,
      hasImages: host.has(ask.digests),
    }
    const inDomain = members.spread.get(domainOf(host, ask.spread)) ?? 0
    return score(standing, inDomain, this.#ledger.overcommit)
  }

  /**
   * Racks with candidates, from a random one on; where the group is spread over more than hosts, the emptiest of it
   * first. One by one, since mostly the first few are enough.
   */
  *#racksInOrder(ask: Ask, candidates: Candidates): Generator<readonly LedgerHost[]> {
    const racks = candidates.racks()
    const start = integerBelow(this.#random, racks.length)
    const turned = [...racks.slice(start), ...racks.slice(0, start)]
    if (ask.spread === 'host') return yield* turned
    const members = this.#ledger.members(ask.group, ask.spread)
    const later: { rack: readonly LedgerHost[]; members: number }[] = []
    for (const rack of turned) {
      const [host] = rack
      const count = host === undefined ? 0 : (members.get(domainOf(host, ask.spread)) ?? 0)
      if (count === 0) yield rack
      else later.push({ rack, members: count })
    }
    for (const { rack } of later.toSorted((a, b) => a.members - b.members)) yield rack
  }

  /** Whether every other host's reason is told. */
  #isSmall(): boolean {
    return this.#ledger.size <= REJECTED_MAX + 1
  }

  #summarize(
    ask: Ask,
    candidates: Candidates,
    { best: compared, refused, ...found }: Comparison,
  ): RejectionSummary {
    const [best, ...others] = compared
    const counts = new Map<string, number>()
    const count = (reason: string, hosts: number): void => {
      if (hosts > 0) counts.set(reason, (counts.get(reason) ?? 0) + hosts)
    }
    for (const [why, { size }] of candidates.refused) count(refusals[why], size)
    for (const { why } of refused) count(refusals[why], 1)
    count('a lower score', Math.max(0, found.compared - 1))
    count('could take it too, was not compared', candidates.size - found.compared - refused.length)
    const { overcommit } = this.#ledger
    const text = (known: Refusal, host: LedgerHost): RejectedHost => {
      // A host without memory may have lost its CPU since, which is what somebody who looks at it now would say.
      const why = refusal(ask, host, overcommit) ?? known
      return { host: host.name, reason: refusalText(why, ask, host, overcommit) }
    }
    const lower = (other: ScoredHost): RejectedHost[] =>
      best === undefined ? [] : [{ host: other.host.name, reason: lowerScore(other, best) }]
    const isSmall = this.#isSmall()
    const rejected = others.flatMap(lower)
    for (const [why, hosts] of candidates.refused)
      for (const host of firstOf(hosts, isSmall ? REJECTED_MAX : 1)) rejected.push(text(why, host))
    const told = new Set<Refusal>()
    for (const { host, why } of refused) {
      if (!isSmall && told.has(why)) continue
      told.add(why)
      rejected.push(text(why, host))
    }
    return {
      rejected: isSmall ? rejected.toSorted((a, b) => (a.host < b.host ? -1 : 1)) : rejected,
      counts: [...counts]
        .map(([reason, hosts]) => ({ reason, hosts }))
        .toSorted((a, b) => (a.reason < b.reason ? -1 : 1)),
    }
  }
}

/** Sorted, the best first, and no longer than `max`. */
function keepBest(best: Scored[], one: Scored, max: number): void {
  const last = best.at(-1)
  if (best.length >= max && last !== undefined && byScore(one, last) > 0) return
  let at = best.length
  while (at > 0 && byScore(one, best[at - 1] ?? one) < 0) at -= 1
  best.splice(at, 0, one)
  if (best.length > max) best.pop()
}

function firstOf<Item>(items: Iterable<Item>, count: number): Item[] {
  const found: Item[] = []
  for (const item of items) {
    if (found.length >= count) break
    found.push(item)
  }
  return found
}

/** Two asks with the same key fit on the same hosts. The group matters only to those that exclude each other. */
function hopelessKey(ask: Ask): string {
  const { antiAffinity = null, isElsewhere, isRecovering } = ask
  const group = antiAffinity === null ? '' : `${antiAffinity} ${ask.group}`
  return JSON.stringify([needsKey(ask), group, isElsewhere, isRecovering])
}
