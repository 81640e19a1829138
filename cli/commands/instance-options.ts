/** What is asked of a set and of a VM in the same words: where it is attached, and where it is placed. */
import type { Command } from 'commander'
import type { SetCreate } from '@nubo/contracts'
import { UsageError } from '../errors.ts'
import { choice, keyValue, wholeNumber } from './options.ts'

const spreads = [
  'host',
  'rack',
  'zone',
] as const satisfies readonly SetCreate['placement']['spread'][]
const recoveries = ['local', 'elsewhere'] as const satisfies readonly SetCreate['recovery'][]

export interface InstanceOptions {
  network: string
  subnet?: string
  address?: string
  port?: string
  label?: Record<string, string>
  host?: string
  spread?: (typeof spreads)[number]
  hostLabel?: Record<string, string>
  antiAffinity?: (typeof spreads)[number]
  recovery?: (typeof recoveries)[number]
  priority?: number
}

/** Each is on its own in help, in the order in which they are added. */
export function addNetworkOptions(command: Command): Command {
  return command
    .requiredOption('--network <network>', 'network it is in')
    .option('--subnet <subnet>', 'needed when the network has more than one')
    .option('--address <address>', 'this address instead of any free one')
    .option('--port <port>', 'an existing free port instead of subnet and address')
}

/** `noun`: as 'set', for help. */
export function addPlacementOptions(command: Command, noun: 'set' | 'VM'): Command {
  return command
    .option('--label <key=value>', `label of the ${noun}; may be repeated`, keyValue)
    .option('--host <host>', 'exactly this host')
    .addOption(
      choice(
        '--spread <level>',
        `keep ${noun}s of one name stem apart by (default: host)`,
        spreads,
      ),
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
}

/** The part of a request that these options make. Throws UsageError where they exclude each other. */
export function instanceBody(options: InstanceOptions) {
  if (options.host !== undefined && options.spread !== undefined)
    throw new UsageError('--host and --spread exclude each other.')
  if (options.port !== undefined && (options.subnet ?? options.address) !== undefined)
    throw new UsageError(
      '--port has its subnet and address already; leave --subnet and --address out.',
    )
  const { network, subnet, address, port, host, spread, antiAffinity, hostLabel } = options
  return {
    network,
    subnet,
    address,
    port,
    placement: { host, spread, antiAffinity, hostLabels: hostLabel },
    recovery: options.recovery,
    priority: options.priority,
    labels: options.label,
  }
}
