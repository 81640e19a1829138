import type { Reason } from '@nubo/contracts'
import type { FoundSet } from '@nubo/contracts/host'
import type { OperationRow } from '../../world/index.ts'

/** What a report of the host means for an operation on the set. Pure. */
export type Outcome =
  | { readonly at: 'unrelated' }
  | { readonly at: 'progress'; readonly progress: string; readonly reason: Reason | null }
  | { readonly at: 'done'; readonly progress: string }
  | { readonly at: 'failed'; readonly reason: Reason; readonly progress: string }

/** So many restarts in a row and a start counts as failed; the agent goes on trying. */
const RESTARTS_UNTIL_FAILED = 2

export function outcomeOf(operation: OperationRow, found: FoundSet): Outcome {
  const progress = found.progress === '' ? found.state : found.progress
  // A host does not learn the generation of a removal: the set is simply no longer wanted there.
  if (operation.kind !== 'set.remove' && found.generation < operation.generation)
    return { at: 'unrelated' }
  switch (operation.kind) {
    case 'set.create':
    case 'set.start':
    case 'set.update':
    case 'set.restart':
      return outcomeOfStart(found, progress)
    case 'set.stop':
      return found.state === 'stopped'
        ? { at: 'done', progress: 'stopped' }
        : { at: 'progress', progress, reason: found.reason }
    case 'set.remove':
      return found.state === 'absent'
        ? { at: 'done', progress: 'removed' }
        : { at: 'progress', progress, reason: found.reason }
    default:
      return { at: 'unrelated' }
  }
}

function outcomeOfStart(found: FoundSet, progress: string): Outcome {
  if (found.state === 'running') return { at: 'done', progress: 'running' }
  const isLooping = found.containers.some(
    (container) => container.restarts >= RESTARTS_UNTIL_FAILED,
  )
  if (
    found.reason !== null &&
    (found.state === 'failed' ||
      (found.state === 'degraded' && (isLooping || found.reason.code === 'IMAGE_PULL_FAILED')))
  ) {
    const reason = {
      code: found.reason.code,
      text: `${withoutFullStop(found.reason.text)}; the host goes on trying`,
    }
    return { at: 'failed', reason, progress }
  }
  // A set whose containers have all ended as they should have (restart: never) has reached what was asked.
  if (found.state === 'stopped') return { at: 'done', progress: 'all containers ended' }
  return { at: 'progress', progress, reason: found.reason }
}

function withoutFullStop(text: string): string {
  return text.endsWith('.') ? text.slice(0, -1) : text
}
