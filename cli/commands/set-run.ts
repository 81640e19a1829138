import type { Command } from 'commander'
import { formatDurationMs } from '@nubo/base'
import type { CallRequest } from '@nubo/client'
import type { SetView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { OperationFailedError } from '../errors.ts'
import { createOrLook, followOperation } from '../follow.ts'
import { printOperation } from './operation.ts'
import {
  addNetworkOptions,
  addPlacementOptions,
  instanceBody,
  type InstanceOptions,
} from './instance-options.ts'
import { cpuMillis, keyValue, memoryBytes, noWait } from './options.ts'

export type SetBody = CallRequest<'setCreate'>['body']

interface RunOptions extends InstanceOptions {
  image: string
  cpu?: number
  memory?: number
  env?: Record<string, string>
  dryRun?: true
  wait: boolean
}

export function defineRun(set: Command, context: CommandContext): void {
  const run = set
    .command('run')
    .description('run a set of one container, named like the set')
    .argument('<name>')
    .argument('[command...]', "what runs in it instead of the image's command; after '--'")
    .requiredOption('--image <image>', 'what it starts from')
  addNetworkOptions(run)
    .option('--cpu <cores>', 'limit of the set, as 0.5 (default: 0.5)', cpuMillis)
    .option('--memory <size>', 'limit of the set, as 64MiB (default: 128MiB)', memoryBytes)
    .option('--env <key=value>', 'variable of the container; may be repeated', keyValue)
  addPlacementOptions(run, 'set')
    .option('--dry-run', 'only tell where it would be placed, and why nowhere else')
    .option(...noWait)
    .action(async (name: string, command: string[], options: RunOptions) => {
      const body = bodyOf(name, command, options)
      if (options.dryRun === true) await (await import('./place.ts')).askPlacement(context, body)
      else await createSet(context, body, options.wait)
    })
}

function bodyOf(name: string, command: readonly string[], options: RunOptions): SetBody {
  return {
    name,
    ...instanceBody(options),
    containers: [
      {
        name,
        image: options.image,
        command: command.length === 0 ? undefined : [...command],
        env: options.env,
      },
    ],
    cpuMillis: options.cpu,
    memoryBytes: options.memory,
  }
}

/** Creates it and waits until it runs. */
export async function createSet(
  context: CommandContext,
  body: SetBody,
  wait: boolean,
): Promise<void> {
  const client = await context.connect()
  const query = context.inProject
  const { clock } = context.surroundings
  const startedMs = clock.monotonicMs()
  const operation = await createOrLook(() => client.setCreate({ query, body }), {
    kind: 'set',
    name: body.name,
    look: () => client.setShow({ params: { id: body.name }, query }),
  })
  if (!wait) return printOperation(context, operation)
  const show = (): Promise<SetView> =>
    client.setShow({ params: { id: operation.resource.id }, query })
  try {
    await followOperation(context, client, operation)
  } catch (error) {
    throw await withRejectedHosts(error, show)
  }
  const created = await show()
  const took = formatDurationMs(clock.monotonicMs() - startedMs)
  await context.printOne(
    created,
    created.name,
    () => `set ${created.name} runs on ${created.host ?? '?'} at ${created.address} (${took})\n`,
  )
}

/** What was not placed tells why each host was not taken. */
export async function withRejectedHosts(
  error: unknown,
  show: () => Promise<Pick<SetView, 'placement'>>,
): Promise<unknown> {
  if (!(error instanceof OperationFailedError)) return error
  if (error.operation.reason?.code !== 'NOT_PLACED') return error
  try {
    const { placement } = await show()
    return new OperationFailedError(error.operation, placement?.rejected ?? [])
  } catch {
    // It may be gone; the reason of the operation stands by itself.
    return error
  }
}
