import { newId, type Clock, type ProjectId, type Random } from '@nubo/base'
import type { Operation, Reason } from '@nubo/contracts'
import type { OperationRow } from '../../world/index.ts'

const OPERATION_DEADLINE_MS = 120_000

export interface OperationAsked {
  readonly projectId: ProjectId | null
  /** 'set.create' */
  readonly kind: string
  readonly resource: { readonly kind: string; readonly id: string; readonly name: string }
  readonly generation: number
  readonly progress: string
  readonly mayCancel: boolean
  /** OPERATION_DEADLINE_MS if absent. */
  readonly deadlineMs?: number
}

export function newOperation(
  asked: OperationAsked,
  deps: { clock: Clock; random: Random },
): OperationRow {
  const nowMs = deps.clock.nowMs()
  return {
    id: newId(deps.clock, deps.random),
    projectId: asked.projectId,
    kind: asked.kind,
    resourceKind: asked.resource.kind,
    resourceId: asked.resource.id,
    resourceName: asked.resource.name,
    state: 'pending',
    progress: asked.progress,
    reason: null,
    generation: asked.generation,
    mayCancel: asked.mayCancel,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    endedAtMs: null,
    deadlineAtMs: nowMs + (asked.deadlineMs ?? OPERATION_DEADLINE_MS),
  }
}

export function operationView(row: OperationRow): Operation {
  const { resourceKind, resourceId, resourceName, ...rest } = row
  return { ...rest, resource: { kind: resourceKind, id: resourceId, name: resourceName } }
}

/** What a caller who gives up an operation should know; null where nothing is left behind. */
export function afterCancel({ kind, resourceName }: OperationRow): Reason | null {
  if (kind !== 'host.drain' && kind !== 'host.maintenance') return null
  const rest = kind === 'host.drain' ? 'cordoned' : 'cordoned and in maintenance'
  return {
    code: 'NOT_ALLOWED_NOW',
    text: `No further set moves; those that are being stopped still move. Host ${resourceName} stays ${rest}.`,
  }
}

export function isOpen(row: OperationRow): boolean {
  return row.state === 'pending' || row.state === 'running'
}
