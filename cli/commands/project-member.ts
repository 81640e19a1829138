import type { Command } from 'commander'
import type { Member, Role } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { age } from '../output/values.ts'
import { choice } from './options.ts'

const roles = ['viewer', 'member', 'owner'] as const satisfies readonly Role[]

/** `nubo project member …`: who may do what in a project. */
export function defineMember(member: Command, context: CommandContext): void {
  member
    .command('add')
    .description('make an account a member, or change its role; a lower one holds at once')
    .argument('<project>')
    .argument('<account>')
    .addOption(choice('--role <role>', 'what it may do', roles).default('member'))
    .action(async (project: string, id: string, { role }: { role: Role }) => {
      const client = await context.connect()
      const made = await client.memberSet({ params: { id }, query: { project }, body: { role } })
      await context.printOne(
        made,
        made.account,
        () => `${made.account} is ${made.role} of ${project}\n`,
      )
    })

  member
    .command('ls')
    .description('list the members of a project')
    .argument('<project>')
    .action(async (project: string) => {
      const client = await context.connect()
      await context.printList(
        await client.listAll('memberList', { project }),
        shape(context, project),
      )
    })

  member
    .command('rm')
    .description('end a membership; what the account has open there ends')
    .argument('<project>')
    .argument('<account>')
    .action(async (project: string, id: string) => {
      const client = await context.connect()
      const gone = await client.memberRemove({ params: { id }, query: { project } })
      await context.printOne(
        gone,
        gone.account,
        () => `${gone.account} is no longer ${gone.role} of ${project}\n`,
      )
    })
}

function shape({ surroundings: { clock } }: CommandContext, project: string): ListShape<Member> {
  return {
    columns: [
      { header: 'ACCOUNT', value: ({ account }) => account },
      { header: 'ROLE', value: ({ role }) => role },
      { header: 'SINCE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
    ],
    nameOf: ({ account }) => account,
    empty: `${project} has no members (tokens of the project itself are in nubo token ls). Add one: nubo project member add ${project} ACCOUNT`,
  }
}
