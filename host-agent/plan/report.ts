import type { FoundReason, FoundSet, WantedSet } from '@nubo/contracts/host'
import type { ContainerView } from './container-view.ts'

/** What keeps a set as a whole from running. */
export type Obstacle =
  | { readonly is: 'failure'; readonly reason: FoundReason }
  | { readonly is: 'pulling'; readonly progress: string }

/** Bounds of the contract (found.ts); a text that is cut is still useful. */
const PROGRESS_CHARACTERS_MAX = 500
const REASON_CHARACTERS_MAX = 2_000

/** The found state of a wanted set, in the words of the contract. */
export function reportOf(options: {
  readonly wanted: WantedSet
  readonly views: readonly ContainerView[]
  readonly state: FoundSet['state']
  readonly progress: string
  readonly reason: FoundReason | null
}): FoundSet {
  const { wanted, views, state } = options
  const areStopped = state === 'stopped' && wanted.run === 'stopped'
  return {
    kind: 'set',
    id: wanted.id,
    epoch: wanted.epoch,
    generation: wanted.generation,
    state,
    progress: options.progress.slice(0, PROGRESS_CHARACTERS_MAX),
    reason: boundedReason(options.reason),
    containers: views.map(({ report }) => ({
      ...report,
      ...(areStopped ? { state: 'stopped' as const, reason: null } : {}),
      reason: areStopped ? null : boundedReason(report.reason),
    })),
  }
}

function boundedReason(reason: FoundReason | null): FoundReason | null {
  return reason === null
    ? null
    : { code: reason.code, text: reason.text.slice(0, REASON_CHARACTERS_MAX) }
}
