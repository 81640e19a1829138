import type { Command } from 'commander'
import { formatBytes, formatCpuMillis } from '@nubo/base'
import { hostRemarks, type Host } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { atOnce, changeEach } from '../follow.ts'
import { paintState } from '../output/colour.ts'
import { renderFields } from '../output/table.ts'
import { age, fromNow } from '../output/values.ts'
import { defineDrain } from './host-drain.ts'
import { defineFencing, fenceText, remarkBrake } from './host-fence.ts'
import { keyValue } from './options.ts'

const roles = ['compute', 'gateway', 'storage'] as const satisfies readonly Host['roles'][number][]
type Role = (typeof roles)[number]

interface InviteOptions {
  zone?: string
  rack?: string
  role?: Role[]
  label?: Record<string, string>
}

export function defineHost(host: Command, context: CommandContext): void {
  host
    .command('invite')
    .description('register a server and print the token with which its agent joins')
    .argument('<name>')
    .option('--zone <zone>', 'where it is (default: zone-1)')
    .option('--rack <rack>', 'where it is in the zone (default: rack-1)')
    .option('--role <role>', `${roles.join(', ')}; may be repeated (default: compute)`, collectRole)
    .option('--label <key=value>', 'may be repeated', keyValue)
    .action(async (name: string, { zone, rack, role, label }: InviteOptions) => {
      const client = await context.connect()
      const invited = await client.hostInvite({
        body: { name, zone, rack, roles: role, labels: label },
      })
      const { clock } = context.surroundings
      context.remark(
        `host ${invited.host.name} may join; the token works once and ends ${fromNow(clock, invited.expiresAtMs)}. On the server run:`,
      )
      await context.printOne(invited, invited.host.name, () => `nubo agent join ${invited.token}\n`)
    })

  host
    .command('ls')
    .description('list hosts')
    .action(async () => {
      const client = await context.connect()
      await context.printList(await client.listAll('hostList'), shape(context))
      await remarkBrake(context)
    })

  host
    .command('show')
    .description('show a host')
    .argument('<host>')
    .action(async (id: string) => {
      const client = await context.connect()
      const found = await client.hostShow({ params: { id } })
      await context.printOne(found, found.name, (one) => details(context, one))
    })

  defineChanges(host, context)
  defineDrain(host, context)
  defineFencing(host, context)
}

function defineChanges(host: Command, context: CommandContext): void {
  const changes = [
    ['cordon', 'hostCordon', 'keep new instances away; what runs stays', 'takes no new instances'],
    ['uncordon', 'hostUncordon', 'let new instances onto hosts again', 'takes new instances again'],
    ['rm', 'hostRemove', 'revoke hosts on which nothing is placed, and forget them', 'removed'],
  ] as const
  for (const [verb, call, description, done] of changes) {
    host
      .command(verb)
      .description(description)
      .argument('<host...>')
      .action(async (names: string[]) => {
        const client = await context.connect()
        await changeEach(
          context,
          names,
          atOnce((id) => client[call]({ params: { id } })),
          {
            nameOf: ({ name }) => name,
            text: ({ name }) => `host ${name} ${done}\n`,
          },
        )
      })
  }
}

function collectRole(text: string, before: Role[] = []): Role[] {
  // proof: the server checks the role; the type only spares it a cast at the call
  return [...before, text as Role]
}

function stateText(host: Host): string {
  return [host.state, ...hostRemarks(host)].join(', ')
}

/** '0.5 / 4': taken of what instances may take. */
function share(taken: string, capacity: string | undefined): string {
  return capacity === undefined ? taken : `${taken} / ${capacity}`
}
function cpuShare({ allocated, capacity }: Host): string {
  const all = capacity === null ? undefined : formatCpuMillis(capacity.cpuMillis)
  return share(formatCpuMillis(allocated.cpuMillis), all)
}
function memoryShare({ allocated, capacity }: Host): string {
  const all = capacity === null ? undefined : formatBytes(capacity.memoryBytes)
  return share(formatBytes(allocated.memoryBytes), all)
}

function shape({ surroundings: { stdout, clock } }: CommandContext): ListShape<Host> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      {
        header: 'STATE',
        value: stateText,
        paint: (cell, { state }) => cell.replace(state, () => paintState(state, stdout)),
      },
      { header: 'ROLES', value: ({ roles: all }) => all.join(',') },
      { header: 'ZONE', value: ({ zone }) => zone },
      { header: 'RACK', value: ({ rack }) => rack },
      { header: 'SETS', value: ({ sets }) => sets, align: 'right' },
      { header: 'CPU', value: cpuShare },
      { header: 'MEMORY', value: memoryShare },
      { header: 'TUNNEL', value: ({ vtepAddress }) => vtepAddress },
      { header: 'SINCE', value: ({ since }) => age(clock, since) },
      { header: 'REASON', value: ({ reason }) => reason?.text ?? null },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no host yet. Bring one in: nubo host invite NAME',
  }
}

function details(context: CommandContext, one: Host): string {
  const { stdout, clock } = context.surroundings
  const { inventory, capacity, reserve } = one
  const title = `${one.name}  ${paintState(one.state, stdout)} since ${age(clock, one.since)}${titleRemarks(one)}\n`
  const fields = renderFields([
    ['reason', one.reason === null ? null : `${one.reason.text} (${one.reason.code})`],
    ['id', one.id],
    ['place', `${one.region} › ${one.zone} › ${one.rack}`],
    ['roles', one.roles.join(', ')],
    ['labels', labelsText(one.labels)],
    ['sets', one.sets],
    ['cpu', `${cpuShare(one)} cores taken`],
    ['memory', `${memoryShare(one)} taken`],
    ['disk', capacity === null ? null : formatBytes(capacity.diskBytes)],
    [
      'kept back',
      reserve === null
        ? null
        : `${formatCpuMillis(reserve.cpuMillis)} cores, ${formatBytes(reserve.memoryBytes)}`,
    ],
    ['tunnel', one.vtepAddress],
    ['power', one.power === null ? 'not under control' : one.power.redfish],
    [
      'stops',
      one.stopsWithinMs === null
        ? 'nothing guarantees that it stops its sets when its lease ends'
        : `its sets within ${one.stopsWithinMs / 1_000} s after its lease`,
    ],
    ['server', one.serverName],
    ['boot', one.bootId],
    ['age', age(clock, one.createdAtMs)],
  ])
  const machine = inventory === null ? '' : machineText(inventory)
  return title + fields + fenceText(context, one) + machine
}

function titleRemarks(one: Host): string {
  return [
    one.cordoned ? ', takes no new instances' : '',
    one.drain === null ? '' : `, draining (nubo operation show ${one.drain.operationId})`,
    one.maintenance ? ', in maintenance (never fenced by itself)' : '',
  ].join('')
}

function machineText(inventory: NonNullable<Host['inventory']>): string {
  const engines = Object.entries(inventory.engines).map(([name, version]) => `${name} ${version}`)
  const nics = inventory.nics.map(({ name, mac, mtuBytes }) => `${name} (${mac}, MTU ${mtuBytes})`)
  return `\nMACHINE\n${renderFields([
    ['cores', inventory.cores],
    ['memory', formatBytes(inventory.memoryBytes)],
    ['disk', formatBytes(inventory.diskBytes)],
    ['kernel', inventory.kernel],
    ['engines', engines.join(', ')],
    ['links', nics.join(', ')],
    ['agent', inventory.agentVersion],
  ])}`
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')
}
