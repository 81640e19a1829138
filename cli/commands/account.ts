import type { Command } from 'commander'
import type { Account } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { createOrLook } from '../follow.ts'
import { namedShape, removeEach } from './named.ts'

export function defineAccount(account: Command, context: CommandContext): void {
  account
    .command('create')
    .description('create an account: somebody who acts, with tokens of its own')
    .argument('<name>')
    .action(async (name: string) => {
      const client = await context.connect()
      const look = async (): Promise<Account[]> =>
        (await client.listAll('accountList')).filter((one) => one.name === name)
      const created = await createOrLook(() => client.accountCreate({ body: { name } }), {
        kind: 'account',
        name,
        look,
      })
      await context.printOne(
        created,
        created.name,
        () =>
          `account ${created.name} created\n` +
          `  next: nubo project member add PROJECT ${created.name} --role member\n` +
          `        nubo token create NAME --account ${created.name}\n`,
      )
    })

  account
    .command('ls')
    .description('list accounts')
    .action(async () => {
      const client = await context.connect()
      await context.printList(
        await client.listAll('accountList'),
        namedShape(context, 'There is no account. Make one: nubo account create NAME'),
      )
    })

  account
    .command('rm')
    .description('remove accounts that are members of nothing, with their tokens')
    .argument('<account...>')
    .action(async (names: string[]) => {
      const client = await context.connect()
      await removeEach(context, names, {
        noun: 'account',
        remove: (id) => client.accountRemove({ params: { id } }),
      })
    })
}
