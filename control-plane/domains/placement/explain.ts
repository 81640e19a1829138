import type { Ask } from './chooser.ts'
import type { Ledger, LedgerHost } from './ledger.ts'
import { byScore, domainOf, refusal, refusalText, score, type Refusal } from './placement.ts'

/** What one host says to an ask. */
export interface HostVerdict {
  readonly host: LedgerHost
  /** Higher is better; null where it cannot take it. */
  readonly score: number | null
  readonly refusal: Refusal | null
  /** Null where it can take it. */
  readonly reason: string | null
}

/**
 * What every host says, in order of name, and which is the best of all. Pure and complete, so it costs as much as there
 * are hosts: for whoever asks, never for placing thousands. Where more than COMPARED_HOSTS_MIN hosts can take it, the
 * placement compares a part of them and may choose another than the best.
 */
export function explain(
  ledger: Ledger,
  ask: Ask,
): { best: HostVerdict | undefined; hosts: HostVerdict[] } {
  const members = ledger.members(ask.group, 'host')
  const spread = ledger.members(ask.group, ask.spread)
  const hosts = [...ledger.hosts()]
    .map((host): HostVerdict => {
      const why = whyNot(ledger, ask, host)
      if (why !== undefined)
        return {
          host,
          score: null,
          refusal: why,
          reason: refusalText(why, ask, host, ledger.overcommit),
        }
      const standing = {
        capacity: host.capacity,
        allocated: host.allocated,
        groupMembers: members.get(host.id) ?? 0,
        hasImages: host.has(ask.digests),
      }
      const inDomain = spread.get(domainOf(host, ask.spread)) ?? 0
      return {
        host,
        score: score(standing, inDomain, ledger.overcommit),
        refusal: null,
        reason: null,
      }
    })
    .toSorted((a, b) => (a.host.name < b.host.name ? -1 : 1))
  const able = hosts.flatMap((one) => (one.score === null ? [] : [{ ...one, score: one.score }]))
  return { best: able.toSorted(byScore)[0], hosts }
}

function whyNot(ledger: Ledger, ask: Ask, host: LedgerHost): Refusal | undefined {
  const own = refusal(ask, host, ledger.overcommit)
  if (own !== undefined) return own
  const { antiAffinity = null } = ask
  if (
    antiAffinity !== null &&
    ledger.members(ask.group, antiAffinity).has(domainOf(host, antiAffinity))
  )
    return 'anti-affinity'
  return ask.isRecovering || ledger.leavesReserve(host, ask) ? undefined : 'reserve'
}
