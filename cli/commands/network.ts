import type { Command } from 'commander'
import type { Network } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { atOnce, changeEach, createOrLook } from '../follow.ts'
import { renderFields } from '../output/table.ts'
import { age } from '../output/values.ts'

export function defineNetwork(network: Command, context: CommandContext): void {
  network
    .command('create')
    .description('create an isolated network; subnets lie in its range')
    .argument('<name>')
    .requiredOption('--cidr <range>', 'addresses of the network, as 10.0.0.0/16')
    .action(async (name: string, { cidr }: { cidr: string }) => {
      const client = await context.connect()
      const query = context.inProject
      const created = await createOrLook(
        () => client.networkCreate({ query, body: { name, cidr } }),
        { kind: 'network', name, look: () => client.networkShow({ params: { id: name }, query }) },
      )
      await context.printOne(
        created,
        created.name,
        () => `network ${created.name} created: ${created.cidr}, VNI ${created.vni}\n`,
      )
    })

  network
    .command('ls')
    .description('list networks')
    .action(async () => {
      const client = await context.connect()
      await context.printList(
        await client.listAll('networkList', context.inProject),
        shape(context),
      )
    })

  network
    .command('show')
    .description('show a network')
    .argument('<network>')
    .action(async (id: string) => {
      const client = await context.connect()
      const found = await client.networkShow({ params: { id }, query: context.inProject })
      await context.printOne(found, found.name, (one) => details(context, one))
    })

  network
    .command('rm')
    .description('remove networks that have no subnets')
    .argument('<network...>')
    .action(async (names: string[]) => {
      const client = await context.connect()
      await changeEach(
        context,
        names,
        atOnce((id) => client.networkRemove({ params: { id }, query: context.inProject })),
        { nameOf: ({ name }) => name, text: ({ name }) => `network ${name} removed\n` },
      )
    })
}

function shape({ surroundings: { clock } }: CommandContext): ListShape<Network> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'CIDR', value: ({ cidr }) => cidr },
      { header: 'VNI', value: ({ vni }) => vni, align: 'right' },
      { header: 'MTU', value: ({ mtuBytes }) => mtuBytes, align: 'right' },
      { header: 'SUBNETS', value: ({ subnets }) => subnets, align: 'right' },
      { header: 'PORTS', value: ({ ports }) => ports, align: 'right' },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no network yet. Make one: nubo network create NAME --cidr 10.0.0.0/16',
  }
}

function details({ surroundings: { clock } }: CommandContext, one: Network): string {
  return renderFields([
    ['name', one.name],
    ['id', one.id],
    ['cidr', one.cidr],
    ['vni', one.vni],
    ['mtu', `${one.mtuBytes} bytes`],
    ['subnets', one.subnets],
    ['ports', one.ports],
    ['age', age(clock, one.createdAtMs)],
  ])
}
