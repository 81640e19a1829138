import { InvalidArgumentError, type Command } from 'commander'
import { formatBytes, formatCpuMillis } from '@nubo/base'
import type { Quota, QuotaResource } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { renderTable } from '../output/table.ts'
import { cpuMillis, memoryBytes, wholeNumber } from './options.ts'

/** 'none' until it is sent as null: the parser of options takes null for an absent value. */
type Limit = number | 'none' | 'default'

/** Options of `set`, and how an amount of each reads. */
const resources: readonly {
  readonly resource: QuotaResource
  readonly word: string
  readonly what: string
  readonly parse: (text: string) => number
  readonly show: (amount: number) => string
}[] = [
  { resource: 'instances', word: 'instances', what: 'sets', parse: wholeNumber, show: String },
  { resource: 'cpuMillis', word: 'cpu', what: 'cores', parse: cpuMillis, show: formatCpuMillis },
  {
    resource: 'memoryBytes',
    word: 'memory',
    what: 'memory, as 64GiB',
    parse: memoryBytes,
    show: formatBytes,
  },
  { resource: 'addresses', word: 'addresses', what: 'ports', parse: wholeNumber, show: String },
  { resource: 'networks', word: 'networks', what: 'networks', parse: wholeNumber, show: String },
  { resource: 'volumes', word: 'volumes', what: 'volumes', parse: wholeNumber, show: String },
]

export function defineQuota(quota: Command, context: CommandContext): void {
  quota
    .command('show')
    .description('show what the project uses and how much it may')
    .action(async () => {
      const client = await context.connect()
      const found = await client.quotaShow({ query: context.inProject })
      await context.printOne(found, found.project, text)
    })

  const set = quota
    .command('set')
    .description('change limits of a project: a number, none or default (operators)')
  for (const { word, what, parse } of resources)
    set.option(`--${word} <limit>`, `the most ${what}; none: no limit`, limitOf(parse))
  set.action(async (limits: Readonly<Record<string, Limit>>) => {
    const body = Object.fromEntries(
      resources.flatMap(({ resource, word }) =>
        limits[word] === undefined
          ? []
          : [[resource, limits[word] === 'none' ? null : limits[word]]],
      ),
    )
    if (Object.keys(body).length === 0)
      throw new UsageError('no limit is given', 'name one, as: nubo quota set --instances 100')
    const client = await context.connect()
    const changed = await client.quotaSet({ query: context.inProject, body })
    await context.printOne(changed, changed.project, text)
  })
}

function limitOf(parse: (text: string) => number): (text: string) => Limit {
  return (text) => {
    if (text === 'none' || text === 'default') return text
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      throw new InvalidArgumentError(`${error.message} Or none, or default.`)
    }
  }
}

function text(quota: Quota): string {
  const rows = resources.map((one) => ({ ...one, ...quota.resources[one.resource] }))
  const table = renderTable(rows, [
    { header: 'RESOURCE', value: ({ word }) => word },
    { header: 'USED', value: ({ used, show }) => show(used), align: 'right' },
    {
      header: 'LIMIT',
      value: ({ limit, show }) => (limit === null ? 'none' : show(limit)),
      align: 'right',
    },
    {
      header: 'FREE',
      value: ({ limit, used, show }) => (limit === null ? null : show(Math.max(0, limit - used))),
      align: 'right',
    },
    { header: 'SET BY', value: ({ isDefault }) => (isDefault ? 'region' : 'project') },
  ])
  return `project ${quota.project}\n${table}`
}
