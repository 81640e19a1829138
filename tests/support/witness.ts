import { spawn } from 'node:child_process'
import type { TestContext } from 'node:test'
import { createInterface } from 'node:readline'
import { waitUntil } from './wait.ts'

const PORT = 9_000
const START_TIMEOUT_MS = 20_000
const HEARD_TIMEOUT_MS = 30_000
const program = new URL('./witness-program.ts', import.meta.url).pathname

/** What a set runs to tell the witness about ten times a second that it is alive: a mark of this very run, and a counter. */
export function tellsWitness(address: string): string[] {
  const say = 'n=$((n+1)); logger -t $run $n; usleep 100000'
  const run = 'run=$(cat /proc/sys/kernel/random/uuid); n=0'
  // As syslog over UDP: nothing is answered, so that also one whose address is somebody else's by now would be heard.
  return ['sh', '-c', `syslogd -R ${address}:${PORT}; ${run}; while :; do ${say}; done`]
}

/** All that was heard of one run before another was heard. */
interface Stretch {
  readonly run: string
  readonly firstAtMs: number
  tokens: number
  lastAtMs: number
}

/**
 * The third place to which a writer tells that it lives, whichever host it is on: it sits in the network of a set on a host
 * to which nothing happens. It ends with the test.
 */
export class Witness {
  /** In the order of their coming: a run that is here twice lived beside another. */
  readonly stretches: Stretch[] = []
  #listens = false

  private constructor(test: Pick<TestContext, 'after'>, netns: string) {
    const enter = ['--pdeathsig', 'KILL', 'nsenter', `--net=${netns}`, '--']
    const listener = spawn('setpriv', [...enter, process.execPath, program, String(PORT)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    test.after(() => listener.kill('SIGKILL'))
    createInterface(listener.stdout).on('line', (line) => this.#hear(String(JSON.parse(line))))
  }

  static async start(test: Pick<TestContext, 'after'>, netns: string): Promise<Witness> {
    const witness = new Witness(test, netns)
    await waitUntil(
      () => witness.#listens,
      (listens) => listens,
      { timeoutMs: START_TIMEOUT_MS, what: 'the witness listens' },
    )
    return witness
  }

  get runs(): string[] {
    return this.stretches.map(({ run }) => run)
  }

  /** Resolves when so many more tokens of one run have come. Throws when one is heard again after another: both live. */
  async hears(tokens: number): Promise<void> {
    const before = this.stretches.at(-1)
    const counted = before?.tokens ?? 0
    await waitUntil(
      () => {
        if (new Set(this.runs).size < this.runs.length)
          throw new Error(`two writers live side by side: ${this.runs.slice(0, 4).join(' ')} …`)
        return this.stretches.at(-1)
      },
      (now) => now !== undefined && now.tokens >= tokens + (now === before ? counted : 0),
      { timeoutMs: HEARD_TIMEOUT_MS, what: 'the witness hears a writer' },
    )
  }

  /** For how long nobody was heard between one run and the next; below 0 is never possible. */
  silencesMs(): number[] {
    return this.stretches
      .slice(1)
      .map(({ firstAtMs }, at) => firstAtMs - (this.stretches[at]?.lastAtMs ?? firstAtMs))
  }

  #hear(text: string): void {
    if (text === 'listens') this.#listens = true
    const token = /([0-9a-f-]{36}): (\d+)/.exec(text)
    if (token === null) return
    const [, run = ''] = token
    const atMs = performance.now()
    const last = this.stretches.at(-1)
    if (last?.run === run) {
      last.tokens += 1
      last.lastAtMs = atMs
    } else this.stretches.push({ run, firstAtMs: atMs, tokens: 1, lastAtMs: atMs })
  }
}
