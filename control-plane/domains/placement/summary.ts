import type { RejectedHost } from './placement.ts'

/**
 * Why not elsewhere, in a bounded form that is kept with each instance: with up to REJECTED_MAX other hosts the reason
 * of every one of them, with more the runners-up, one example of each reason, and how many hosts it holds for. The full
 * list is computed on request (`explain.ts`): a thousand reasons with each of twenty thousand sets are nobody's to store.
 */
export interface RejectionSummary {
  readonly rejected: readonly RejectedHost[]
  /** Every host that was not taken, by its reason in short; sorted by it. */
  readonly counts: readonly ReasonCount[]
}

export interface ReasonCount {
  readonly reason: string
  readonly hosts: number
}

export const REJECTED_MAX = 16
export const RUNNERS_UP_MAX = 3

export function isComplete({ rejected, counts }: RejectionSummary): boolean {
  return rejected.length >= counts.reduce((sum, { hosts }) => sum + hosts, 0)
}

/** Without numbers: what is free changes with every placement, and thousands may wait that would all be written anew. */
export function outlineOfReasons(summary: RejectionSummary): string {
  return isComplete(summary)
    ? summary.rejected
        .map(({ host, reason }) => `${host}: ${reason.replaceAll(/\d+(\.\d+)?/g, '#')}`)
        .join()
    : summary.counts.map(({ reason }) => reason).join()
}

const TEXT_CHARACTERS_MAX = 1_900

/** In a sentence, for whoever waits. */
export function notPlacedText(summary: RejectionSummary): string {
  const { rejected, counts } = summary
  if (counts.length === 0) return 'no host can take it: there are no hosts'
  const example = rejected.map(({ host, reason }) => `${host}: ${reason}`).join('; ')
  const why = isComplete(summary)
    ? example
    : `${counts.map(({ reason, hosts }) => `${hosts} × ${reason}`).join(', ')}; for example ${example}`
  return `no host can take it (${why})`.slice(0, TEXT_CHARACTERS_MAX)
}
