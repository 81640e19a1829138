import type { Command } from 'commander'
import type { Project } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { createOrLook } from '../follow.ts'
import { namedShape, removeEach } from './named.ts'
import { defineMember } from './project-member.ts'

export function defineProject(project: Command, context: CommandContext): void {
  project
    .command('create')
    .description('create a project (operators)')
    .argument('<name>')
    .option('--account <account>', 'whose project it is (default: the first of the region)')
    .action(async (name: string, { account }: { account?: string }) => {
      const client = await context.connect()
      const look = async (): Promise<Project[]> =>
        (await client.listAll('projectList')).filter((one) => one.name === name)
      const created = await createOrLook(() => client.projectCreate({ body: { name, account } }), {
        kind: 'project',
        name,
        look,
      })
      await context.printOne(
        created,
        created.name,
        () =>
          `project ${created.name} created\n` +
          `  next: nubo token create NAME --role owner --project ${created.name}\n`,
      )
    })

  const member = project.command('member').description('who may do what in a project')
  member.helpCommand(false).usage('<verb> [options]')
  defineMember(member, context)

  project
    .command('ls')
    .description('list the projects that this token may see')
    .action(async () => {
      const client = await context.connect()
      await context.printList(
        await client.listAll('projectList'),
        namedShape(context, 'There is no project yet. Make one: nubo project create NAME'),
      )
    })

  project
    .command('rm')
    .description('remove empty projects and their tokens (operators)')
    .argument('<project...>')
    .action(async (names: string[]) => {
      const client = await context.connect()
      await removeEach(context, names, {
        noun: 'project',
        remove: (id) => client.projectRemove({ params: { id } }),
      })
    })
}
