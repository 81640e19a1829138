import { quotaResource, type Quota, type QuotaResource } from '@nubo/contracts'
import type { QuotaLimits } from '../../world/index.ts'

/** A number, null for no limit, 'default' for that of the region; what is absent stays. */
export type LimitChanges = Readonly<
  Partial<Record<QuotaResource, number | null | 'default' | undefined>>
>

export function changedLimits(limits: QuotaLimits, changes: LimitChanges): QuotaLimits {
  return Object.fromEntries(
    quotaResource.options.flatMap((resource) => {
      const wanted = changes[resource] === undefined ? limits[resource] : changes[resource]
      return wanted === undefined || wanted === 'default' ? [] : [[resource, wanted]]
    }),
  )
}

/** The limits that hold, and what is used of them. */
export function quotaResources(
  row: Readonly<Record<QuotaResource, number>> & { readonly limits: QuotaLimits },
  defaults: QuotaLimits,
): Quota['resources'] {
  const of = (resource: QuotaResource): Quota['resources'][QuotaResource] => {
    const own = row.limits[resource]
    return {
      used: row[resource],
      limit: own === undefined ? (defaults[resource] ?? null) : own,
      isDefault: own === undefined,
    }
  }
  return {
    instances: of('instances'),
    cpuMillis: of('cpuMillis'),
    memoryBytes: of('memoryBytes'),
    addresses: of('addresses'),
    networks: of('networks'),
    volumes: of('volumes'),
  }
}
