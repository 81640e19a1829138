import type { Command } from 'commander'
import type { Token } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { atOnce, changeEach } from '../follow.ts'
import { age, fromNow } from '../output/values.ts'
import { choice, durationMs } from './options.ts'

const roles = ['viewer', 'member', 'owner', 'operator'] as const satisfies readonly Token['role'][]

interface CreateOptions {
  role?: Token['role']
  account?: string
  expires?: number
}

export function defineToken(token: Command, context: CommandContext): void {
  token
    .command('create')
    .description('create a token; its secret is shown only now')
    .argument('<name>')
    .addOption(choice('--role <role>', 'what it may do at most (default: member)', roles))
    .option(
      '--account <account>',
      'a token of this account, for all projects where it is a member (default role: owner)',
    )
    .option(
      '--expires <duration>',
      'how long it is valid, as 30d (default: until revoked)',
      durationMs,
    )
    .action(async (name: string, { role, account, expires }: CreateOptions) => {
      const client = await context.connect()
      const isUnbound = role === 'operator' || account !== undefined
      const created = await client.tokenCreate({
        query: role === 'operator' ? {} : context.inProject,
        body: {
          name,
          ...(isUnbound ? {} : context.inProject),
          role,
          account,
          expiresInSeconds: expires === undefined ? undefined : Math.ceil(expires / 1_000),
        },
      })
      context.remark(`token ${created.name} (${created.role}); its secret is not shown again:`)
      await context.printOne(created, created.name, () => `${created.secret}\n`)
    })

  token
    .command('ls')
    .description('list tokens of the project')
    .action(async () => {
      const client = await context.connect()
      await context.printList(await client.listAll('tokenList', context.inProject), shape(context))
    })

  token
    .command('revoke')
    .description('revoke tokens; streams that they opened end')
    .argument('<token...>')
    .action(async (names: string[]) => {
      const client = await context.connect()
      await changeEach(
        context,
        names,
        atOnce((id) => client.tokenRevoke({ params: { id }, query: context.inProject })),
        { nameOf: ({ name }) => name, text: ({ name }) => `token ${name} revoked\n` },
      )
    })
}

function shape({ surroundings: { clock } }: CommandContext): ListShape<Token> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'ROLE', value: ({ role }) => role },
      { header: 'STATE', value: (one) => validity(one, clock.nowMs()) },
      {
        header: 'EXPIRES',
        value: ({ expiresAtMs }) => (expiresAtMs === null ? 'never' : fromNow(clock, expiresAtMs)),
      },
      { header: 'ID', value: ({ id }) => id, isWhole: true },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no token. Make one: nubo token create NAME',
  }
}

function validity({ revokedAtMs, expiresAtMs }: Token, nowMs: number): string {
  if (revokedAtMs !== null) return 'revoked'
  return expiresAtMs !== null && expiresAtMs <= nowMs ? 'expired' : 'valid'
}
