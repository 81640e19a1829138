import { api } from '@nubo/contracts'
import { route, type CallerBinding } from '../identity/index.ts'
import type { QuotaService } from './service.ts'

export function quotaBindings({ quota }: { quota: QuotaService }): CallerBinding[] {
  return [
    route(api.quotaShow, ({ caller }) => quota.showQuota(caller)),
    route(api.quotaSet, ({ caller, body }) => quota.setQuota(caller, body)),
  ]
}
