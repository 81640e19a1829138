import { z } from 'zod'
import { id, inProject, name } from './common.ts'
import { defineRoute } from './route.ts'

/** What a project can have too much of. Volumes come later; none are counted yet. */
export const quotaResource = z.enum([
  'instances',
  'cpuMillis',
  'memoryBytes',
  'addresses',
  'networks',
  'volumes',
])
export type QuotaResource = z.infer<typeof quotaResource>

const amount = z.int().nonnegative()
const limit = z.union([amount, z.null(), z.literal('default')]).optional()

const resourceQuota = z
  .object({
    used: amount,
    /** Null: no limit. */
    limit: amount.nullable(),
    /** The limit is that of the region, because none was set for this project. */
    isDefault: z.boolean(),
  })
  .meta({ id: 'ResourceQuota' })

export const quota = z
  .object({
    projectId: id,
    project: name,
    resources: z.object({
      instances: resourceQuota,
      cpuMillis: resourceQuota,
      memoryBytes: resourceQuota,
      addresses: resourceQuota,
      networks: resourceQuota,
      volumes: resourceQuota,
    }),
  })
  .meta({ id: 'Quota' })
export type Quota = z.infer<typeof quota>

export const quotaRoutes = {
  quotaShow: defineRoute({
    method: 'GET',
    path: '/v1/quota',
    summary: 'Shows what a project uses and how much it may.',
    access: 'viewer',
    query: z.strictObject(inProject),
    reply: quota,
    status: 200,
  }),
  quotaSet: defineRoute({
    method: 'PATCH',
    path: '/v1/quota',
    summary:
      'Changes limits of a project: a number, null for none, or `default` for that of the region. One below what is used takes nothing away; nothing more can be made.',
    access: 'operator',
    query: z.strictObject(inProject),
    body: z.strictObject({
      instances: limit,
      cpuMillis: limit,
      memoryBytes: limit,
      addresses: limit,
      networks: limit,
      volumes: limit,
    }),
    reply: quota,
    status: 200,
  }),
}
