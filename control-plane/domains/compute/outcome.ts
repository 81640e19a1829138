import type { Reason } from '@nubo/contracts'
import type { FoundInstance, FoundSet, FoundVm } from '@nubo/contracts/host'
import type { OperationRow } from '../../world/index.ts'

/** What a report of the host means for an operation on an instance. Pure. */
export type Outcome =
  | { readonly at: 'unrelated' }
  | { readonly at: 'progress'; readonly progress: string; readonly reason: Reason | null }
  | { readonly at: 'done'; readonly progress: string }
  | { readonly at: 'failed'; readonly reason: Reason; readonly progress: string }

/** So many restarts in a row and a start counts as failed; the agent goes on trying. */
const RESTARTS_UNTIL_FAILED = 2

export function outcomeOf(operation: OperationRow, found: FoundInstance): Outcome {
  const progress = found.progress === '' ? found.state : found.progress
  const verb = operation.kind.startsWith(`${found.kind}.`)
    ? operation.kind.slice(found.kind.length + 1)
    : ''
  // A host does not learn the generation of a removal: the instance is simply no longer wanted there.
  if (verb !== 'remove' && found.generation < operation.generation) return { at: 'unrelated' }
  const reached = (state: FoundInstance['state'], end: string): Outcome =>
    found.state === state
      ? { at: 'done', progress: end }
      : { at: 'progress', progress, reason: found.reason }
  switch (verb) {
    case 'create':
    case 'start':
    case 'update':
    case 'restart':
    case 'resume':
      return found.kind === 'set'
        ? outcomeOfStart(found, progress)
        : outcomeOfVmStart(found, progress)
    case 'pause':
      return reached('paused', 'paused')
    case 'stop':
      return reached('stopped', 'stopped')
    case 'remove':
      return reached('absent', 'removed')
    default:
      return { at: 'unrelated' }
  }
}

function outcomeOfVmStart(found: FoundVm, progress: string): Outcome {
  if (found.state === 'running') return { at: 'done', progress: 'running' }
  if (found.reason !== null && found.state === 'failed')
    return { at: 'failed', reason: triedAgain(found.reason), progress }
  // The guest has switched itself off: it ran as was asked.
  if (found.state === 'stopped') return { at: 'done', progress: 'the guest switched itself off' }
  return { at: 'progress', progress, reason: found.reason }
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
  )
    return { at: 'failed', reason: triedAgain(found.reason), progress }
  // A set whose containers have all ended as they should have (restart: never) has reached what was asked.
  if (found.state === 'stopped') return { at: 'done', progress: 'all containers ended' }
  return { at: 'progress', progress, reason: found.reason }
}

function triedAgain({ code, text }: Reason): Reason {
  return { code, text: `${withoutFullStop(text)}; the host goes on trying` }
}

function withoutFullStop(text: string): string {
  return text.endsWith('.') ? text.slice(0, -1) : text
}
