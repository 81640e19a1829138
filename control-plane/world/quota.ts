import {
  formatBytes,
  formatCpuMillis,
  PlatformError,
  type ErrorDetails,
  type ProjectId,
} from '@nubo/base'
import { quotaResource, type QuotaResource } from '@nubo/contracts'
import { sql, type RawBuilder, type Transaction } from 'kysely'
import type { QuotaLimits, Tables } from './tables.ts'

export type Usage = Readonly<Partial<Record<QuotaResource, number>>>

const columnOf = (resource: QuotaResource): string =>
  resource.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** How much more (or, below 0, less) each project uses after a transaction. */
export class UsageChanges {
  readonly #byProject = new Map<ProjectId, Record<QuotaResource, number>>()

  add(project: ProjectId, usage: Usage): void {
    const sums = this.#byProject.get(project) ?? noUsage()
    for (const resource of quotaResource.options) sums[resource] += usage[resource] ?? 0
    this.#byProject.set(project, sums)
  }

  /** Projects that use more or less than before, in the order of their ids. */
  entries(): [ProjectId, Readonly<Record<QuotaResource, number>>][] {
    return [...this.#byProject]
      .filter(([, sums]) => quotaResource.options.some((resource) => sums[resource] !== 0))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
  }
}

/** Every project has its row from the beginning: nothing is counted where none is. */
export async function insertQuota(tx: Transaction<Tables>, projectId: ProjectId): Promise<void> {
  await tx.insertInto('quota').values({ projectId, limits: '{}' }).execute()
}

function noUsage(): Record<QuotaResource, number> {
  return { instances: 0, cpuMillis: 0, memoryBytes: 0, addresses: 0, networks: 0, volumes: 0 }
}

/** One limit that a transaction would break, as the database found it. */
export interface Exceeded {
  readonly project: string
  readonly resource: QuotaResource
  readonly limit: number
  readonly used: number
  readonly asked: number
}

const columns = quotaResource.options.map((resource) => ({ resource, column: columnOf(resource) }))
const eachColumn = (text: (column: string, resource: QuotaResource) => string): string =>
  columns.map(({ column, resource }) => text(column, resource)).join(', ')

/** Fixed text, made once: it is part of every creation. */
const asked = sql.raw(`as a (project_id uuid, ${eachColumn((column) => `by_${column} bigint`)})`)
const byColumns = sql.raw(eachColumn((column) => `by_${column}`))
const rest = sql.raw(`used as (
    update quota q set ${eachColumn((column) => `${column} = greatest(0, q.${column} + a.by_${column})`)}
    from asked a where q.project_id = a.project_id
    returning q.project_id, q.limits, ${eachColumn((column) => `q.${column}, a.by_${column}`)}
  ),
  exceeded as (
    select p.name as project, v.resource, v.used - v.asked as used, v.asked, v.most::bigint as limit
    from used u join project p on p.id = u.project_id, lateral (values ${eachColumn(
      (column, resource) => `('${resource}', u.${column}, u.by_${column},
        case when u.limits ? '${resource}' then u.limits ->> '${resource}' else (select rules from defaults) ->> '${resource}' end)`,
    )}) as v (resource, used, asked, most)
    where v.asked > 0 and v.used > v.most::bigint
  )`)

/**
 * Common table expressions `used` and `exceeded`: they change the counters and say which limit that breaks. A change
 * that only gives back is never refused, however low the limit was set meanwhile. Part of the statement that takes the
 * revision, so that the lock on the project's row costs no round trip of its own.
 */
export function quotaClauses(
  changes: ReturnType<UsageChanges['entries']>,
  defaults: QuotaLimits,
): RawBuilder<unknown> {
  const rows = changes.map(([projectId, sums]) => ({
    project_id: projectId,
    ...Object.fromEntries(columns.map(({ resource, column }) => [`by_${column}`, sums[resource]])),
  }))
  return sql`defaults as (select ${JSON.stringify(defaults)}::jsonb as rules),
  asked as (select project_id, ${byColumns} from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) ${asked}),
  ${rest}`
}

const words: Record<QuotaResource, (amount: number) => string> = {
  instances: (amount) => `${amount} ${amount === 1 ? 'instance' : 'instances'}`,
  cpuMillis: (amount) => `${formatCpuMillis(amount)} cores`,
  memoryBytes: (amount) => `${formatBytes(amount)} of memory`,
  addresses: (amount) => `${amount} ${amount === 1 ? 'address' : 'addresses'}`,
  networks: (amount) => `${amount} ${amount === 1 ? 'network' : 'networks'}`,
  volumes: (amount) => `${amount} ${amount === 1 ? 'volume' : 'volumes'}`,
}

/** QUOTA_EXCEEDED about the first of them; `details.exceeded` has all. */
export function quotaError(all: readonly [Exceeded, ...Exceeded[]]): PlatformError {
  const [{ project, resource, limit, used, asked }] = all
  const amount = words[resource]
  const details: ErrorDetails = {
    field: resource,
    limit,
    used,
    asked,
    project,
    exceeded: all,
    next: `remove what is not needed, or let an operator raise it: nubo quota set --project ${project}`,
  }
  return new PlatformError('QUOTA_EXCEEDED', details, {
    message: `Project ${project} may have ${amount(limit)}; it has ${amount(used)}, and this needs ${amount(asked)} more.`,
  })
}
