import { api } from '@nubo/contracts'
import { route, type CallerBinding } from '../identity/index.ts'
import type { AuditService } from './service.ts'

export function auditBindings({ audit }: { audit: AuditService }): CallerBinding[] {
  return [route(api.auditList, ({ caller, query }) => audit.list(caller, query))]
}
