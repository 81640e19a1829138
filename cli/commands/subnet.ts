import type { Command } from 'commander'
import type { Subnet } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { UsageError } from '../errors.ts'
import { createOrLook } from '../follow.ts'
import { age } from '../output/values.ts'

export function defineSubnet(subnet: Command, context: CommandContext): void {
  subnet
    .command('create')
    .description('create a subnet; its first address is the gateway')
    .argument('<network>')
    .argument('<name>')
    .requiredOption('--cidr <range>', "addresses within the network's range, as 10.0.1.0/24")
    .action(async (network: string, name: string, { cidr }: { cidr: string }) => {
      const client = await context.connect()
      const query = context.inProject
      const look = async (): Promise<Subnet[]> => {
        const all = await client.listAll('subnetList', { ...query, network })
        return all.filter((one) => one.name === name)
      }
      const created = await createOrLook(
        () => client.subnetCreate({ query, body: { network, name, cidr } }),
        { kind: 'subnet', name, look },
      )
      await context.printOne(
        created,
        created.name,
        () =>
          `subnet ${created.name} created in ${created.network}: ${created.cidr}, gateway ${created.gatewayAddress}\n`,
      )
    })

  subnet
    .command('ls')
    .description('list subnets of the project or of one network')
    .argument('[network]')
    .option('--network <network>', 'the same')
    .action(async (named: string | undefined, options: { network?: string }) => {
      const client = await context.connect()
      const network = named ?? options.network
      const items = await client.listAll('subnetList', { ...context.inProject, network })
      await context.printList(items, shape(context))
    })

  subnet
    .command('rm')
    .description('remove a subnet without ports')
    .usage('[options] [network] <subnet>')
    .argument('<subnet...>', 'its name, or the network and its name')
    .option('--network <network>', 'the network it is in, where several have a subnet of this name')
    .action(async (names: string[], options: { network?: string }) => {
      const [id, network] = subnetOf(names, options.network)
      const client = await context.connect()
      const removed = await client.subnetRemove({
        params: { id },
        query: { ...context.inProject, network },
      })
      await context.printOne(
        removed,
        removed.name,
        () => `subnet ${removed.name} of ${removed.network} removed\n`,
      )
    })
}

function subnetOf(
  names: readonly string[],
  network: string | undefined,
): [id: string, network: string | undefined] {
  const [first, second, ...more] = names
  if (first === undefined || more.length > 0 || (second !== undefined && network !== undefined)) {
    throw new UsageError('Name one subnet, or a network and a subnet of it.')
  }
  return second === undefined ? [first, network] : [second, first]
}

function shape({ surroundings: { clock } }: CommandContext): ListShape<Subnet> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'NETWORK', value: ({ network }) => network },
      { header: 'CIDR', value: ({ cidr }) => cidr },
      { header: 'GATEWAY', value: ({ gatewayAddress }) => gatewayAddress },
      { header: 'FREE', value: ({ addressesFree }) => addressesFree, align: 'right' },
      { header: 'PORTS', value: ({ ports }) => ports, align: 'right' },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no subnet yet. Make one: nubo subnet create NETWORK NAME --cidr 10.0.1.0/24',
  }
}
