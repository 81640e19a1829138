import { newId, type Clock, type ProjectId, type Random } from '@nubo/base'
import type { Operation } from '@nubo/contracts'
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
    deadlineAtMs: nowMs + OPERATION_DEADLINE_MS,
  }
}

export function operationView(row: OperationRow): Operation {
  const { resourceKind, resourceId, resourceName, ...rest } = row
  return { ...rest, resource: { kind: resourceKind, id: resourceId, name: resourceName } }
}

export function isOpen(row: OperationRow): boolean {
  return row.state === 'pending' || row.state === 'running'
}
