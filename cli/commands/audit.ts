import type { Command } from 'commander'
import type { AuditEntry } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { choice, durationMs, wholeNumber } from './options.ts'

/** A page of the API. */
const PAGE_MAX = 1_000

interface ListOptions {
  since?: number
  until?: number
  actor?: string
  resource?: string
  outcome?: AuditEntry['outcome']
  limit: number
}

export function defineAudit(audit: Command, context: CommandContext): void {
  audit
    .command('ls')
    .description('who changed what, or was refused; the newest first (owners)')
    .option('--since <duration>', 'not older than this, as 2h', durationMs)
    .option('--until <duration>', 'older than this, as 10m', durationMs)
    .option('--actor <name>', 'an account or token, or system:place and the like')
    .option('--resource <name>', 'what was changed, by name or id')
    .addOption(choice('--outcome <outcome>', 'only what was done or refused', ['done', 'refused']))
    .option('--limit <count>', 'at most so many', wholeNumber, 100)
    .action(async ({ since, until, limit, ...filter }: ListOptions) => {
      const client = await context.connect()
      const nowMs = context.surroundings.clock.nowMs()
      const query = {
        ...context.inProject,
        ...filter,
        ...(since === undefined ? {} : { sinceMs: Math.max(0, nowMs - since) }),
        ...(until === undefined ? {} : { untilMs: Math.max(0, nowMs - until) }),
      }
      const entries: AuditEntry[] = []
      let cursor: string | undefined
      do {
        const page = await client.auditList({
          query: { ...query, cursor, limit: Math.min(PAGE_MAX, limit - entries.length) },
        })
        entries.push(...page.items)
        cursor = page.cursor ?? undefined
      } while (cursor !== undefined && entries.length < limit)
      await context.printList(entries, shape)
      if (cursor !== undefined)
        context.remark(`the newest ${entries.length}; more with --limit, or older with --until`)
    })
}

const shape: ListShape<AuditEntry> = {
  columns: [
    { header: 'TIME (UTC)', value: ({ atMs }) => timeOf(atMs), isWhole: true },
    { header: 'ACTOR', value: ({ actor }) => actor },
    { header: 'CALL', value: ({ call }) => call },
    {
      header: 'RESOURCE',
      value: ({ resource: { kind, name, id } }) => [kind, name ?? id ?? ''].join(' ').trim(),
    },
    { header: 'OUTCOME', value: ({ outcome, code }) => code ?? outcome },
    { header: 'NOTE', value: ({ note }) => note },
  ],
  nameOf: ({ id }) => id,
  empty: 'Nothing that fits was changed or refused.',
  isOrdered: true,
}

function timeOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')
}
