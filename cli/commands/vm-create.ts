import type { Command } from 'commander'
import { formatDurationMs } from '@nubo/base'
import type { CallRequest } from '@nubo/client'
import type { CommandContext } from '../context.ts'
import { createOrLook, followOperation } from '../follow.ts'
import { printOperation } from './operation.ts'
import {
  addNetworkOptions,
  addPlacementOptions,
  instanceBody,
  type InstanceOptions,
} from './instance-options.ts'
import { durationMs, memoryBytes, noWait, wholeNumber } from './options.ts'
import { withRejectedHosts } from './set-run.ts'

type VmBody = CallRequest<'vmCreate'>['body']

interface CreateOptions extends InstanceOptions {
  image: string
  cpu?: number
  memory?: number
  disk?: number
  stopTimeout?: number
  wait: boolean
}

export function defineVmCreate(vm: Command, context: CommandContext): void {
  const create = vm
    .command('create')
    .description('create a virtual machine, and start it')
    .argument('<name>')
    .requiredOption('--image <image>', 'the disk, or the kernel, it starts from')
  addNetworkOptions(create)
    .option('--cpu <number>', 'virtual processors (default: 1)', wholeNumber)
    .option('--memory <size>', 'memory of the guest, as 2GiB (default: 512MiB)', memoryBytes)
    .option('--disk <size>', "of its own disk, as 20GiB (default: the image's)", memoryBytes)
    .option(
      '--stop-timeout <duration>',
      'so long the guest may take to switch itself off (default: 1m)',
      durationMs,
    )
  addPlacementOptions(create, 'VM')
    .option(...noWait)
    .action((name: string, options: CreateOptions) =>
      createVm(context, bodyOf(name, options), options.wait),
    )
}

function bodyOf(name: string, options: CreateOptions): VmBody {
  return {
    name,
    ...instanceBody(options),
    image: options.image,
    cpus: options.cpu,
    memoryBytes: options.memory,
    diskBytes: options.disk,
    stopTimeoutMs: options.stopTimeout,
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
