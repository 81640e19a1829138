/** `nubo sim hosts`: simulated hosts for the cloud that the command line talks to. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PlatformError } from '@nubo/base'
import { createClient, type Client } from '@nubo/client'
import { systemClock, systemRandom } from '@nubo/runtime'
import { z } from 'zod'
import { DEFAULT_HOME } from './home.ts'
import { SIMULATED_HOSTS_MAX, SimulatedHosts, type SimulatedStatus } from './simulated-hosts.ts'
import { errorText } from './terminal.ts'

const usage = `Usage: nubo sim hosts [--count N] [--prefix NAME] [--sets-start-ms MS] [--keep]
                      [--server URL]… [--token-file FILE]

Runs simulated hosts: the real agent over the real contract, with engines that only pretend. They join the cloud of
this machine (NUBO_HOME), or the one of --server, and can be placed on like all others, so nothing real should be
created there meanwhile: its containers would run nowhere. They are in racks sim-rack-N and have the label simulated.

  --count N            how many, at most ${SIMULATED_HOSTS_MAX}; default 100
  --prefix NAME        names are NAME-1, NAME-2, …; default sim
  --sets-start-ms MS   how long a sandbox and each container take to start; default 0
  --keep               at the end leave them in the cloud, where they become unreachable; the next run has them back
  --server, --token-file   as everywhere; the token must be an operator's

Ends with Ctrl-C, and then removes the hosts from the cloud. Hosts that still have sets stay and go on serving, so that
the sets can be removed; a second Ctrl-C leaves them.
`
const PERIOD_MS = 1_000

class UsageError extends Error {}

interface Asked {
  readonly count: number
  readonly prefix: string
  readonly setStartMs: number
  readonly keep: boolean
  readonly servers: readonly string[]
  readonly tokenFile: string | undefined
}

async function main(words: readonly string[]): Promise<number> {
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(usage)
    return 0
  }
  const asked = readWords(words)
  const client = openClient(asked)
  const interrupts = listenForInterrupts()
  const hosts = await SimulatedHosts.start({
    client,
    ...asked,
    onInvited: (invited) => {
      if (invited % 100 === 0 || invited === asked.count)
        line(`invited ${invited} of ${asked.count}`)
    },
    signal: interrupts.first,
  })
  try {
    await watch(hosts, interrupts.first)
    if (!asked.keep) await removeUntil(hosts, interrupts.second)
  } finally {
    await hosts.stop()
  }
  return 0
}

/** Tells what goes on until it is interrupted. Throws if a process of hosts ends by itself. */
async function watch(hosts: SimulatedHosts, signal: AbortSignal): Promise<void> {
  let before = hosts.status()
  let beforeMs = performance.now()
  const timer = setInterval(() => {
    const now = hosts.status()
    const nowMs = performance.now()
    line(statusLine(now, { before, seconds: (nowMs - beforeMs) / 1_000 }))
    before = now
    beforeMs = nowMs
  }, PERIOD_MS)
  try {
    const reason = await Promise.race([hosts.ended, untilAborted(signal)])
    if (reason !== undefined)
      throw new PlatformError(
        'PROGRAM_FAILED',
        {},
        { message: `A process of simulated hosts ended: ${reason}` },
      )
  } finally {
    clearInterval(timer)
    process.stdout.write('\n')
  }
}

function statusLine(
  now: SimulatedStatus,
  since: { before: SimulatedStatus; seconds: number },
): string {
  const beats = (now.heartbeats - since.before.heartbeats) / since.seconds
  const joined = now.joined < now.asked ? `joined ${now.joined} of ${now.asked}, ` : ''
  const failure = now.failure === null ? '' : ` (${now.failure})`
  const mebibytes = Math.round(now.rssBytes / 2 ** 20)
  return `${joined}connected ${now.connected}, sets running ${now.setsRunning}, ${beats.toFixed(0)} beats/s, ${mebibytes} MiB${failure}`
}

async function removeUntil(hosts: SimulatedHosts, signal: AbortSignal): Promise<void> {
  process.stdout.write('Removing the hosts from the cloud …\n')
  let told = -1
  while (!signal.aborted) {
    const inUse = await hosts.remove()
    if (inUse.length === 0) return
    if (told !== inUse.length)
      line(
        `${inUse.length} hosts have sets still, as ${inUse[0]}: remove these sets, or press Ctrl-C again`,
      )
    told = inUse.length
    await Promise.race([
      new Promise((resolve) => setTimeout(resolve, PERIOD_MS)),
      untilAborted(signal),
    ])
  }
}

/** On a terminal in place, elsewhere one below the other. */
function line(text: string): void {
  process.stdout.write(process.stdout.isTTY ? `\r\u001B[K${text}` : `${text}\n`)
}

function listenForInterrupts(): { first: AbortSignal; second: AbortSignal } {
  const [first, second] = [new AbortController(), new AbortController()]
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => (first.signal.aborted ? second : first).abort(new Error(signal)))
  return { first: first.signal, second: second.signal }
}

function untilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

const cliFile = z.object({ servers: z.array(z.string()).min(1), tokenFile: z.string() })

function openClient(asked: Asked): Client {
  const file = join(process.env['NUBO_HOME'] ?? DEFAULT_HOME, 'cli.json')
  const known = asked.servers.length > 0 && asked.tokenFile !== undefined ? undefined : read(file)
  const servers = asked.servers.length > 0 ? asked.servers : (known?.servers ?? [])
  const tokenFile = asked.tokenFile ?? known?.tokenFile ?? ''
  // A token that was saved for one cloud must not be sent to another.
  if (asked.servers.length > 0 && asked.tokenFile === undefined)
    throw new UsageError('--server needs --token-file')
  const token = readFileSync(tokenFile, 'utf8').trim()
  return createClient({ servers, token, clock: systemClock, random: systemRandom })
}

function read(file: string): z.infer<typeof cliFile> {
  try {
    return cliFile.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    throw new PlatformError(
      'SETUP_FAILED',
      { file, next: 'start a cloud here with `nubo up`, or say --server and --token-file' },
      { message: 'No cloud is known here.', cause },
    )
  }
}

function readWords(words: readonly string[]): Asked {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        count: { type: 'string', default: '100' },
        prefix: { type: 'string', default: 'sim' },
        'sets-start-ms': { type: 'string', default: '0' },
        keep: { type: 'boolean', default: false },
        server: { type: 'string', multiple: true, default: [] },
        'token-file': { type: 'string' },
      },
    })
    if (!/^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$/.test(values.prefix))
      throw new UsageError('--prefix takes lower-case letters, digits and dashes')
    return {
      count: integer(values.count, { option: '--count', min: 1, max: SIMULATED_HOSTS_MAX }),
      prefix: values.prefix,
      setStartMs: integer(values['sets-start-ms'], {
        option: '--sets-start-ms',
        min: 0,
        max: 600_000,
      }),
      keep: values.keep,
      servers: values.server,
      tokenFile: values['token-file'],
    }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function integer(text: string, limits: { option: string; min: number; max: number }): number {
  const value = Number(text)
  const { option, min, max } = limits
  if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value
  throw new UsageError(`${option} takes a number from ${min} to ${max}, not "${text}"`)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`nubo sim hosts: ${error.message}\n\n${usage}`)
    process.exitCode = 2
  } else {
    process.stderr.write(errorText(error))
    process.exitCode = 1
  }
}
