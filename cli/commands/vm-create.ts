import type { Command } from 'commander'
import { formatDurationMs } from '@nubo/base'
import type { CallRequest } from '@nubo/client'
import type { CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { createOrLook, followOperation } from '../follow.ts'
import { printOperation } from './operation.ts'
import { choice, durationMs, keyValue, memoryBytes, noWait, wholeNumber } from './options.ts'
import { recoveries, spreads, withRejectedHosts } from './set-run.ts'

type VmBody = CallRequest<'vmCreate'>['body']

interface CreateOptions {
  image: string
  network: string
  subnet?: string
  address?: string
  port?: string
  cpu?: number
  memory?: number
  disk?: number
  stopTimeout?: number
  label?: Record<string, string>
  host?: string
  spread?: (typeof spreads)[number]
  hostLabel?: Record<string, string>
  antiAffinity?: (typeof spreads)[number]
  recovery?: (typeof recoveries)[number]
  priority?: number
  wait: boolean
}

export function defineVmCreate(vm: Command, context: CommandContext): void {
  vm.command('create')
    .description('create a virtual machine, and start it')
    .argument('<name>')
    .requiredOption('--image <image>', 'the disk, or the kernel, it starts from')
    .requiredOption('--network <network>', 'network it is in')
    .option('--subnet <subnet>', 'needed when the network has more than one')
    .option('--address <address>', 'this address instead of any free one')
    .option('--port <port>', 'an existing free port instead of subnet and address')
    .option('--cpu <number>', 'virtual processors (default: 1)', wholeNumber)
    .option('--memory <size>', 'memory of the guest, as 2GiB (default: 512MiB)', memoryBytes)
    .option('--disk <size>', "of its own disk, as 20GiB (default: the image's)", memoryBytes)
    .option(
      '--stop-timeout <duration>',
      'so long the guest may take to switch itself off (default: 1m)',
      durationMs,
    )
    .option('--label <key=value>', 'label of the VM; may be repeated', keyValue)
    .option('--host <host>', 'exactly this host')
    .addOption(
      choice('--spread <level>', 'keep VMs of one name stem apart by (default: host)', spreads),
    )
    .addOption(choice('--anti-affinity <level>', 'never two of one name stem in the same', spreads))
    .option('--host-label <key=value>', 'only hosts with this label; may be repeated', keyValue)
    .addOption(
      choice(
        '--recovery <where>',
        'where it goes on when its host is lost (default: local)',
        recoveries,
      ),
    )
    .option(
      '--priority <number>',
      'of those that wait for a host the higher goes first, 0 to 1000 (default: 100)',
      wholeNumber,
    )
    .option(...noWait)
    .action((name: string, options: CreateOptions) =>
      createVm(context, bodyOf(name, options), options.wait),
    )
}

function bodyOf(name: string, options: CreateOptions): VmBody {
  if (options.host !== undefined && options.spread !== undefined)
    throw new UsageError('--host and --spread exclude each other.')
  return {
    name,
    network: options.network,
    subnet: options.subnet,
    address: options.address,
    port: options.port,
    image: options.image,
    cpus: options.cpu,
    memoryBytes: options.memory,
    diskBytes: options.disk,
    stopTimeoutMs: options.stopTimeout,
    placement: {
      host: options.host,
      spread: options.spread,
      antiAffinity: options.antiAffinity,
      hostLabels: options.hostLabel,
    },
    recovery: options.recovery,
    priority: options.priority,
    labels: options.label,
  }
}

/** Creates it and waits until its processors run. */
async function createVm(context: CommandContext, body: VmBody, wait: boolean): Promise<void> {
  const client = await context.connect()
  const query = context.inProject
  const { clock } = context.surroundings
  const startedMs = clock.monotonicMs()
  const operation = await createOrLook(() => client.vmCreate({ query, body }), {
    kind: 'vm',
    name: body.name,
    look: () => client.vmShow({ params: { id: body.name }, query }),
  })
  if (!wait) return printOperation(context, operation)
  const show = () => client.vmShow({ params: { id: operation.resource.id }, query })
  await followOperation(context, client, operation).catch(async (error: unknown) => {
    throw await withRejectedHosts(error, show)
  })
  const made = await show()
  const took = formatDurationMs(clock.monotonicMs() - startedMs)
  await context.printOne(
    made,
    made.name,
    () => `VM ${made.name} runs on ${made.host ?? '?'} at ${made.address} (${took})\n`,
  )
}
