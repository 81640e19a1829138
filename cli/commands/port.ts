import type { Command } from 'commander'
import type { Port } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { atOnce, changeEach, createOrLook } from '../follow.ts'
import { renderFields } from '../output/table.ts'
import { age } from '../output/values.ts'

interface CreateOptions {
  network: string
  subnet?: string
  address?: string
}

export function definePort(port: Command, context: CommandContext): void {
  port
    .command('create')
    .description('create a port with an address that stays, before any instance uses it')
    .argument('<name>')
    .requiredOption('--network <network>', 'network it lies in')
    .option('--subnet <subnet>', 'needed when the network has more than one')
    .option('--address <address>', 'this address instead of any free one')
    .action(async (name: string, { network, subnet, address }: CreateOptions) => {
      const client = await context.connect()
      const query = context.inProject
      const created = await createOrLook(
        () => client.portCreate({ query, body: { name, network, subnet, address } }),
        { kind: 'port', name, look: () => client.portShow({ params: { id: name }, query }) },
      )
      await context.printOne(
        created,
        created.name,
        () =>
          `port ${created.name} created in ${created.network}/${created.subnet}: ${created.address}\n`,
      )
    })

  port
    .command('ls')
    .description('list ports of the project or of one network')
    .argument('[network]')
    .option('--network <network>', 'the same')
    .action(async (named: string | undefined, options: { network?: string }) => {
      const client = await context.connect()
      const network = named ?? options.network
      const items = await client.listAll('portList', { ...context.inProject, network })
      await context.printList(items, shape(context))
    })

  port
    .command('show')
    .description('show a port')
    .argument('<port>')
    .action(async (id: string) => {
      const client = await context.connect()
      const found = await client.portShow({ params: { id }, query: context.inProject })
      await context.printOne(found, found.name, (one) => details(context, one))
    })

  defineChanges(port, context)
}

function defineChanges(port: Command, context: CommandContext): void {
  port
    .command('rm')
    .description('remove ports that nothing uses; their addresses rest before they are given again')
    .argument('<port...>')
    .action(async (names: string[]) => {
      const client = await context.connect()
      await changeEach(
        context,
        names,
        atOnce((id) => client.portRemove({ params: { id }, query: context.inProject })),
        { nameOf: ({ name }) => name, text: ({ name }) => `port ${name} removed\n` },
      )
    })

  port
    .command('bind')
    .description('attach a free port to a network interface of a host (operators)')
    .argument('<port>')
    .requiredOption('--host <host>', 'where the interface is')
    .requiredOption('--interface <name>', 'name of the interface on the host')
    .action(async (id: string, options: { host: string; interface: string }) => {
      const client = await context.connect()
      const bound = await client.portBind({
        params: { id },
        query: context.inProject,
        body: { host: options.host, interfaceName: options.interface },
      })
      await context.printOne(
        bound,
        bound.name,
        () => `port ${bound.name} is bound to ${bindingText(bound)}\n`,
      )
    })

  port
    .command('unbind')
    .description('detach a port from an interface of a host (operators)')
    .argument('<port>')
    .action(async (id: string) => {
      const client = await context.connect()
      const free = await client.portUnbind({ params: { id }, query: context.inProject })
      await context.printOne(free, free.name, () => `port ${free.name} is free\n`)
    })
}

function bindingText({ binding }: Port): string {
  if (binding === null) return 'free'
  switch (binding.kind) {
    case 'set':
      return `set ${binding.set}`
    case 'vm':
      return `vm ${binding.vm}`
    case 'interface':
      return `interface ${binding.interfaceName} of ${binding.host}`
  }
}

function shape({ surroundings: { clock } }: CommandContext): ListShape<Port> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'ADDRESS', value: ({ address }) => address },
      { header: 'MAC', value: ({ mac }) => mac },
      { header: 'NETWORK', value: ({ network }) => network },
      { header: 'SUBNET', value: ({ subnet }) => subnet },
      { header: 'USED BY', value: bindingText },
      { header: 'HOST', value: ({ host }) => host },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no port yet. Sets make their own; or: nubo port create NAME --network NETWORK',
  }
}

function details({ surroundings: { clock } }: CommandContext, one: Port): string {
  return renderFields([
    ['name', one.name],
    ['id', one.id],
    ['address', one.address],
    ['mac', one.mac],
    ['network', one.network],
    ['subnet', one.subnet],
    ['used by', bindingText(one)],
    ['host', one.host],
    ['age', age(clock, one.createdAtMs)],
  ])
}
