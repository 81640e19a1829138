import type { Command } from 'commander'
import { formatDurationMs } from '@nubo/base'
import type { CallRequest } from '@nubo/client'
import type { SetCreate, SetView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { OperationFailedError, UsageError } from '../errors.ts'
import { createOrLook, followOperation } from '../follow.ts'
import { printOperation } from './operation.ts'
import { choice, cpuMillis, keyValue, memoryBytes, noWait, wholeNumber } from './options.ts'

export type SetBody = CallRequest<'setCreate'>['body']

export const spreads = [
  'host',
  'rack',
  'zone',
] as const satisfies readonly SetCreate['placement']['spread'][]
export const recoveries = ['local', 'elsewhere'] as const satisfies readonly SetCreate['recovery'][]

interface RunOptions {
  image: string
  network: string
  subnet?: string
  address?: string
  port?: string
  cpu?: number
  memory?: number
  env?: Record<string, string>
  label?: Record<string, string>
  host?: string
  spread?: (typeof spreads)[number]
  hostLabel?: Record<string, string>
  antiAffinity?: (typeof spreads)[number]
  recovery?: (typeof recoveries)[number]
  priority?: number
  dryRun?: true
  wait: boolean
}

export function defineRun(set: Command, context: CommandContext): void {
  set
    .command('run')
    .description('run a set of one container, named like the set')
    .argument('<name>')
    .argument('[command...]', "what runs in it instead of the image's command; after '--'")
    .requiredOption('--image <image>', 'what it starts from')
    .requiredOption('--network <network>', 'network it is in')
    .option('--subnet <subnet>', 'needed when the network has more than one')
    .option('--address <address>', 'this address instead of any free one')
    .option('--port <port>', 'an existing free port instead of subnet and address')
    .option('--cpu <cores>', 'limit of the set, as 0.5 (default: 0.5)', cpuMillis)
    .option('--memory <size>', 'limit of the set, as 64MiB (default: 128MiB)', memoryBytes)
    .option('--env <key=value>', 'variable of the container; may be repeated', keyValue)
    .option('--label <key=value>', 'label of the set; may be repeated', keyValue)
    .option('--host <host>', 'exactly this host')
    .addOption(
      choice('--spread <level>', 'keep sets of one name stem apart by (default: host)', spreads),
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
    .option('--dry-run', 'only tell where it would be placed, and why nowhere else')
    .option(...noWait)
    .action(async (name: string, command: string[], options: RunOptions) => {
      requireOneWay(options)
      const body = bodyOf(name, command, options)
      if (options.dryRun === true) await (await import('./place.ts')).askPlacement(context, body)
      else await createSet(context, body, options.wait)
    })
}

function requireOneWay(options: RunOptions): void {
  if (options.host !== undefined && options.spread !== undefined) {
    throw new UsageError('--host and --spread exclude each other.')
  }
  if (options.port !== undefined && (options.subnet ?? options.address) !== undefined) {
    throw new UsageError(
      '--port has its subnet and address already; leave --subnet and --address out.',
    )
  }
}

function bodyOf(name: string, command: readonly string[], options: RunOptions): SetBody {
  return {
    name,
    network: options.network,
    subnet: options.subnet,
    address: options.address,
    port: options.port,
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
