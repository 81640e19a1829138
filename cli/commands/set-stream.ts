import { once } from 'node:events'
import type { Command } from 'commander'
import { formatDurationMs, unreachable } from '@nubo/base'
import type {
  LogOutput,
  StreamChunk,
  StreamConnection,
  StreamEnd,
  StreamSignal,
} from '@nubo/client'
import type { CommandContext } from '../context.ts'
import { exitCode, UsageError } from '../errors.ts'
import type { ForwardedSignal, Surroundings } from '../surroundings.ts'
import { parseDuration } from '../output/values.ts'
import { wholeNumber } from './options.ts'

/** So many interrupts in a row end this program, when the other one does not react. */
const INTERRUPTS_MAX = 3

/** Shorter gaps are not worth a line. */
const OUTAGE_TOLD_MS = 3_000

interface ExecOptions {
  interactive?: true
  tty?: true
  container?: string
}

export function defineExec(set: Command, context: CommandContext): void {
  set
    .command('exec')
    .description("run a program inside a container; its exit code is this one's")
    .argument('<set>')
    .argument('<command...>', "program and arguments; after '--'")
    .option('-i, --interactive', 'send the input to it')
    .option('-t, --tty', 'give it a terminal')
    .option('-c, --container <name>', 'in this container (default: the first)')
    .action(async (id: string, command: string[], options: ExecOptions) => {
      await exec(context, id, command, options)
    })
}

async function exec(
  context: CommandContext,
  id: string,
  command: string[],
  options: ExecOptions,
): Promise<void> {
  const { surroundings } = context
  const isTty = options.tty === true
  const isInteractive = options.interactive === true
  if (isTty && isInteractive && surroundings.stdin.isTTY !== true) {
    throw new UsageError('The input is not a terminal; leave -t out.')
  }
  const client = await context.connect()
  const ticket = await client.setExec({
    params: { id },
    query: context.inProject,
    body: {
      container: options.container,
      command,
      tty: isTty,
      stdin: isInteractive,
      ...sizeOf(surroundings.stdout),
    },
  })
  const stream = await client.openStream(ticket)
  const releases = [forwardSignals(surroundings, stream)]
  try {
    if (isTty) releases.push(followSize(surroundings, stream))
    if (isInteractive) releases.push(forwardInput(surroundings, stream, isTty))
    const end = await pumpOutput(surroundings, stream)
    context.exitCode = await exitCodeOf(end)
  } catch (error) {
    throw await lostProgram(error)
  } finally {
    for (const release of releases.reverse()) release()
    stream.close()
  }
}

/** Unlike a log, a program that runs cannot be continued: its host ends it when nobody hears it any more. */
async function lostProgram(error: unknown): Promise<unknown> {
  const { StreamError } = await import('@nubo/client')
  if (!(error instanceof StreamError)) return error
  return new StreamError(
    'The stream to the program ended before the program did; it cannot be continued, and its host ends it.',
    error,
  )
}

interface LogsOptions {
  follow?: true
  since?: string
  tail?: number
  container?: string
}

export function defineLogs(set: Command, context: CommandContext): void {
  set
    .command('logs')
    .description('what the containers of a set print')
    .argument('<set>')
    .option('-f, --follow', 'go on as more is printed')
    .option('--since <time>', 'not before, as 10m (ago) or 2026-11-20T12:00:00Z')
    .option('--tail <lines>', 'only the last lines', wholeNumber)
    .option('-c, --container <name>', 'only of this container')
    .action(async (id: string, options: LogsOptions) => {
      const { surroundings } = context
      const sinceMs =
        options.since === undefined ? undefined : sinceOf(options.since, surroundings.clock.nowMs())
      const client = await context.connect()
      const log = client.readSetLog({
        params: { id },
        query: context.inProject,
        body: {
          container: options.container,
          follow: options.follow === true,
          sinceMs,
          tail: options.tail,
        },
      })
      for await (const told of log) await print(context, told)
    })
}

async function print({ surroundings, options }: CommandContext, told: LogOutput): Promise<void> {
  const { stderr } = surroundings
  switch (told.type) {
    case 'output':
      return write(surroundings, told.chunk)
    case 'continued':
      if (options.debug === true || told.outageMs >= OUTAGE_TOLD_MS)
        stderr.write(
          `… the connection to the server was lost for ${formatDurationMs(told.outageMs)}; continued\n`,
        )
      return
    case 'lost':
      stderr.write(
        `… some of what ${told.container} printed while the connection was lost may be missing: its log was begun anew\n`,
      )
      return
    default:
      return unreachable(told)
  }
}

/** '10m' before now, or a moment. */
function sinceOf(text: string, nowMs: number): number {
  const agoMs = parseDuration(text)
  if (agoMs !== undefined) return Math.max(0, nowMs - agoMs)
  const atMs = Date.parse(text)
  if (Number.isNaN(atMs) || atMs < 0) {
    throw new UsageError(`'${text}' is no time. Give a duration as 10m, or a date and time.`)
  }
  return atMs
}

/** Writes at the pace of the terminal or pipe; the stream's credit slows the program down. */
async function pumpOutput(
  surroundings: Surroundings,
  stream: StreamConnection,
): Promise<StreamEnd> {
  for await (const chunk of stream.output) await write(surroundings, chunk)
  return stream.ended
}

async function write(
  { stdout, stderr }: Surroundings,
  { channel, bytes }: StreamChunk,
): Promise<void> {
  const target = channel === 'stdout' ? stdout : stderr
  if (!target.write(bytes)) await once(target, 'drain')
}

async function exitCodeOf(end: StreamEnd): Promise<number> {
  if (end.error !== null) {
    const { ApiError } = await import('@nubo/client')
    throw new ApiError({ ...end.error, details: {}, requestId: '', status: 0 })
  }
  // A program that was ended by a signal has no code of its own here.
  return end.exitCode ?? exitCode.failed
}

function sizeOf(stdout: Surroundings['stdout']): { columns: number; rows: number } {
  const within = (value: number | undefined, usual: number): number =>
    Math.min(1_000, Math.max(1, value ?? usual))
  return { columns: within(stdout.columns, 80), rows: within(stdout.rows, 24) }
}

function followSize(surroundings: Surroundings, stream: StreamConnection): () => void {
  return surroundings.onResize(() => stream.resize(sizeOf(surroundings.stdout)))
}

const forwarded: readonly [ForwardedSignal, StreamSignal][] = [
  ['SIGINT', 'INT'],
  ['SIGTERM', 'TERM'],
  ['SIGHUP', 'HUP'],
  ['SIGQUIT', 'QUIT'],
]

function forwardSignals(surroundings: Surroundings, stream: StreamConnection): () => void {
  let interrupts = 0
  const releases = forwarded.map(([here, there]) =>
    surroundings.onSignal(here, () => {
      if (here === 'SIGINT' && ++interrupts >= INTERRUPTS_MAX) return stream.close()
      stream.signal(there)
    }),
  )
  return () => {
    for (const release of releases) release()
  }
}

/** In a terminal each key goes as it is, also ^C: the program there decides. */
function forwardInput(
  { stdin }: Surroundings,
  stream: StreamConnection,
  isTty: boolean,
): () => void {
  if (isTty) stdin.setRawMode?.(true)
  void sendInput(stdin, stream)
  return () => {
    if (isTty) stdin.setRawMode?.(false)
    stdin.pause()
  }
}

async function sendInput(stdin: Surroundings['stdin'], stream: StreamConnection): Promise<void> {
  try {
    for await (const piece of stdin) {
      if (piece instanceof Uint8Array) await stream.write(piece)
    }
  } catch {
    // An input that breaks is an input that ends; the program's exit code tells the story.
  }
  stream.endStdin()
}
