import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

const PERIOD_MS = 10
/** An answer later than this counts as none. */
const ANSWER_MAX_MS = 2_000
/** At most so many are sent in the time that is given to the last answers; these do not count. */
export const LAST_SENT_MAX = (ANSWER_MAX_MS + 200) / PERIOD_MS
const STOP_TIMEOUT_MS = 10_000

export interface PingResult {
  readonly sent: number
  readonly lost: number
}

/** Pings an address every 10 ms from a network namespace; ends with the test. What is not answered within 2 s is lost. */
export class Pings {
  readonly #program
  #output = ''

  constructor(test: Pick<TestContext, 'after'>, netns: string, address: string) {
    const ping = ['ping', '-n', '-i', String(PERIOD_MS / 1_000), '-W', '2', address]
    // Ends with the test process, however that ends.
    this.#program = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'nsenter', `--net=${netns}`, '--', ...ping],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LANG: 'C.UTF-8' } },
    )
    test.after(() => this.#program.kill('SIGKILL'))
    for (const stream of [this.#program.stdout, this.#program.stderr])
      stream.on('data', (chunk: Buffer) => (this.#output += chunk.toString()))
  }

  /** Resolves when so many answers have come. */
  async answered(count: number): Promise<void> {
    const before = this.#answers().size
    while (this.#answers().size < before + count)
      await once(this.#program.stdout, 'data', { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
  }

  /** Pings on for 2 s, because ping does not wait for answers once it is told to end; these last do not count. */
  async stop(): Promise<PingResult> {
    await sleep(ANSWER_MAX_MS + 100)
    // Not its exit: what it says last may come after that.
    const closed = once(this.#program, 'close', { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
    this.#program.kill('SIGINT')
    await closed
    const transmitted = Number(/(\d+) packets transmitted/.exec(this.#output)?.[1])
    if (!Number.isInteger(transmitted))
      throw new Error(`ping told no result: ${this.#output.slice(-500)}`)
    const sent = Math.max(0, transmitted - LAST_SENT_MAX)
    const answered = [...this.#answers()].filter((sequence) => sequence <= sent)
    return { sent, lost: sent - answered.length }
  }

  #answers(): Set<number> {
    const answers = this.#output.matchAll(/icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms/g)
    return new Set(
      [...answers]
        .filter(([, , ms]) => Number(ms) <= ANSWER_MAX_MS)
        .map(([, sequence]) => Number(sequence)),
    )
  }
}
