/** Simulated hosts of a cloud: invited over its API, run by processes of their own, removed over its API. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatIpv4, parseIpv4, PlatformError } from '@nubo/base'
import { isApiError, type Client } from '@nubo/client'
import { start, type RunningProgram } from '@nubo/runtime'
import { z } from 'zod'
import { busyNodeProgram, DIE_WITH_US } from './checkout.ts'

/** One process pauses all of its hosts at once to collect garbage; many ask the servers for more joins at once than they take. */
const HOSTS_PER_PROCESS_MIN = 250
const PROCESSES = 4
/** As many as one process serves while a core is shared with servers; see `host-agent/simulated/`. */
const HOSTS_PER_PROCESS_MAX = 1_250
export const SIMULATED_HOSTS_MAX = 10_000
const CALLS_AT_ONCE = 16
const HOSTS_PER_RACK = 40
const ZONES = 3
/** 198.18.0.0/15 is for measurements (RFC 2544): nobody's tunnel ends there. */
const VTEP_FIRST = parseIpv4('198.18.0.1') ?? 0
const STOP_GRACE_MS = 15_000
const LABELS = { simulated: 'true' }

const status = z.object({
  asked: z.int(),
  joined: z.int(),
  connected: z.int(),
  setsRunning: z.int(),
  heartbeats: z.int(),
  sessions: z.int(),
  failure: z.string().nullable(),
  rssBytes: z.int(),
})
/** Of one process, or the sum of all. */
export type SimulatedStatus = z.infer<typeof status>

export interface SimulatedHostsOptions {
  /** Of an operator. */
  readonly client: Client
  readonly count: number
  /** Names are PREFIX-1, PREFIX-2, …; hosts of these names that exist join anew. */
  readonly prefix: string
  readonly setStartMs: number
  readonly onInvited?: (invited: number) => void
  readonly signal?: AbortSignal
}

interface FleetProcess {
  readonly program: RunningProgram
  readonly statusFile: string
  readonly logFile: string
}

export class SimulatedHosts {
  readonly names: readonly string[]
  readonly #client: Client
  readonly #folder: string
  readonly #processes: FleetProcess[] = []

  private constructor(client: Client, names: readonly string[]) {
    this.#client = client
    this.names = names
    this.#folder = mkdtempSync(join(tmpdir(), 'nubo-sim-'))
  }

  /** Resolves when all are invited and their processes run; joining goes on, see `status`. Nothing is left if it rejects. */
  static async start(options: SimulatedHostsOptions): Promise<SimulatedHosts> {
    const { count, prefix } = options
    const names = Array.from({ length: count }, (_none, at) => `${prefix}-${at + 1}`)
    const hosts = new SimulatedHosts(options.client, names)
    try {
      const tokens = await hosts.#invite(options)
      const size = processSize(count)
      for (let from = 0; from < count; from += size)
        hosts.#startProcess({ from, tokens: tokens.slice(from, from + size), ...options })
      return hosts
    } catch (error) {
      await hosts.stop()
      await hosts.remove().catch(() => undefined)
      throw error
    }
  }

  get pids(): readonly number[] {
    return this.#processes.map(({ program }) => program.pid)
  }

  /** Resolves with what a process said last when the first of them ends. */
  get ended(): Promise<string> {
    return Promise.race(
      this.#processes.map(async ({ program, logFile }) => {
        const { code, signal } = await program.exited
        return `${readFileSync(logFile, 'utf8').trim().slice(-2_000)} (${signal ?? `exit code ${code}`})`
      }),
    )
  }

  /** The sum over all processes, at most a second old. */
  status(): SimulatedStatus {
    const sum = {
      asked: this.names.length,
      joined: 0,
      connected: 0,
      setsRunning: 0,
      heartbeats: 0,
      sessions: 0,
      failure: null as string | null,
      rssBytes: 0,
    }
    for (const { statusFile } of this.#processes) {
      const said = readStatus(statusFile)
      if (said === undefined) continue
      sum.joined += said.joined
      sum.connected += said.connected
      sum.setsRunning += said.setsRunning
      sum.heartbeats += said.heartbeats
      sum.sessions += said.sessions
      sum.rssBytes += said.rssBytes
      sum.failure ??= said.failure
    }
    return sum
  }

  /** Removes the hosts from the cloud. Returns those that sets are still placed on, which stay. Idempotent. */
  async remove(): Promise<string[]> {
    const inUse: string[] = []
    await inParallel(this.names, async (name) => {
      try {
        await this.#client.hostRemove({ params: { id: name } })
      } catch (error) {
        if (isApiError(error) && error.code === 'IN_USE') inUse.push(name)
        else if (!isApiError(error) || error.code !== 'NOT_FOUND') throw error
      }
    })
    return inUse
  }

  /** Ends the processes; the cloud still has the hosts. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#processes.map(({ program }) => program.stop({ graceMs: STOP_GRACE_MS })),
    )
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #invite(options: SimulatedHostsOptions): Promise<string[]> {
    const tokens: string[] = []
    let invited = 0
    await inParallel([...this.names.entries()], async ([at, name]) => {
      options.signal?.throwIfAborted()
      const rack = Math.floor(at / HOSTS_PER_RACK)
      const { token } = await this.#client.hostInvite({
        body: {
          name,
          rack: `sim-rack-${rack + 1}`,
          zone: `sim-zone-${(rack % ZONES) + 1}`,
          labels: LABELS,
        },
      })
      tokens[at] = token
      options.onInvited?.(++invited)
    })
    return tokens
  }

  /** `from`: the number of the first of its hosts. */
  #startProcess(asked: { from: number; tokens: readonly string[]; setStartMs: number }): void {
    const { from, tokens, setStartMs } = asked
    const number = this.#processes.length + 1
    const file = (name: string): string => join(this.#folder, `${number}.${name}`)
    const hosts = tokens.map((token, at) => ({
      token,
      vtepAddress: formatIpv4(VTEP_FIRST + from + at),
    }))
    const statusFile = file('status')
    writeFileSync(file('config'), JSON.stringify({ statusFile, setStartMs, hosts }), {
      mode: 0o600,
    })
    const program = start({
      // However we end: thousands of hosts would go on dialling a cloud that is gone.
      argv: [...DIE_WITH_US, ...busyNodeProgram('host-agent/simulated/main.ts', file('config'))],
      logFile: file('log'),
    })
    this.#processes.push({ program, statusFile, logFile: file('log') })
  }
}

function processSize(count: number): number {
  const even = Math.ceil(count / PROCESSES)
  return Math.min(HOSTS_PER_PROCESS_MAX, Math.max(HOSTS_PER_PROCESS_MIN, even))
}

function readStatus(file: string): SimulatedStatus | undefined {
  try {
    return status.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    // It has not said anything yet.
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new PlatformError('SETUP_FAILED', { file }, { cause })
  }
}

async function inParallel<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = items.values()
  const workSome = async (): Promise<void> => {
    for (const item of waiting) await work(item)
  }
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, workSome))
}
