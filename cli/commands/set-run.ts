import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { formatDurationMs } from '@nubo/base'
import type { CallRequest } from '@nubo/client'
import type { SetCreate, SetView } from '@nubo/contracts'
import type { CommandContext } from '../context.ts'
import { FileError, OperationFailedError, UsageError, whyFile } from '../errors.ts'
import { createOrLook, followOperation } from '../follow.ts'
import { printOperation } from './operation.ts'
import { choice, cpuMillis, keyValue, memoryBytes, noWait } from './options.ts'

type SetBody = CallRequest<'setCreate'>['body']

const FILE_BYTES_MAX = 1024 * 1024
const spreads = [
  'host',
  'rack',
  'zone',
] as const satisfies readonly SetCreate['placement']['spread'][]
const recoveries = ['local', 'elsewhere'] as const satisfies readonly SetCreate['recovery'][]

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
  recovery?: (typeof recoveries)[number]
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
    .option('--host-label <key=value>', 'only hosts with this label; may be repeated', keyValue)
    .addOption(
      choice(
        '--recovery <where>',
        'where it goes on when its host is lost (default: local)',
        recoveries,
      ),
    )
    .option(...noWait)
    .action(async (name: string, command: string[], options: RunOptions) => {
      requireOneWay(options)
      await createSet(context, bodyOf(name, command, options), options.wait)
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
      hostLabels: options.hostLabel,
    },
    recovery: options.recovery,
    labels: options.label,
  }
}

export function defineApply(set: Command, context: CommandContext): void {
  set
    .command('apply')
    .description('create a set of several containers as a file describes it')
    .requiredOption('-f, --file <file>', "JSON or YAML of the set; '-' reads the input")
    .option(...noWait)
    .action(async ({ file, wait }: { file: string; wait: boolean }) => {
      await createSet(context, await readSet(context, file), wait)
    })
}

async function readSet({ surroundings }: CommandContext, file: string): Promise<SetBody> {
  const text = file === '-' ? await readInput(surroundings.stdin) : readFile(file)
  const [{ setCreate }, body] = [await import('@nubo/contracts'), await parseText(file, text)]
  const checked = setCreate.safeParse(body)
  // proof: what the schema accepts is its input; sent as written, so that the server fills in its own defaults
  if (checked.success) return body as SetBody
  const problems = checked.error.issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.length === 0 ? 'the set' : path.join('.')}: ${message}`)
  throw new UsageError(
    `${file} does not describe a set: ${problems.join('; ')}.`,
    'every field is in the reference of the API: POST /v1/sets',
  )
}

async function parseText(file: string, text: string): Promise<unknown> {
  try {
    if (/\.ya?ml$/.test(file)) return (await import('yaml')).parse(text) as unknown
    return JSON.parse(text)
  } catch (cause) {
    throw new UsageError(
      `${file} cannot be understood: ${cause instanceof Error ? cause.message : String(cause)}.`,
    )
  }
}

function readFile(file: string): string {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new FileError(`${file} cannot be read: ${whyFile(cause)}.`, cause)
  }
  if (text.length > FILE_BYTES_MAX) throw new FileError(`${file} is longer than 1 MiB.`)
  return text
}

async function readInput(stdin: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const piece of stdin) {
    text += String(piece)
    if (text.length > FILE_BYTES_MAX) throw new FileError('The input is longer than 1 MiB.')
  }
  return text
}

async function createSet(context: CommandContext, body: SetBody, wait: boolean): Promise<void> {
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

/** A set that was not placed tells why each host was not taken. */
async function withRejectedHosts(error: unknown, show: () => Promise<SetView>): Promise<unknown> {
  if (!(error instanceof OperationFailedError)) return error
  if (error.operation.reason?.code !== 'NOT_PLACED') return error
  try {
    const { placement } = await show()
    return new OperationFailedError(error.operation, placement?.rejected ?? [])
  } catch {
    // The set may be gone; the reason of the operation stands by itself.
    return error
  }
}
