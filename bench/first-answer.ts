/** The moment at which an address begins to answer. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

// The ping of iputils sends no more than a hundred a second while it waits for answers; busybox keeps to its word.
const PING = ['busybox', 'ping', '-W', '1', '-i'] as const
const STOP_TIMEOUT_MS = 5_000
/** The first packets have been sent by then. */
const START_MS = 60

export interface Question {
  /** From where: a network namespace, by path. */
  readonly netns: string
  readonly address: string
  /** As fine as the moment is to be known. */
  readonly periodMs: number
}

/** Pings an address until it is stopped. Each ping costs both switches some time. */
export class FirstAnswer {
  readonly #program
  readonly #answered = Promise.withResolvers<number>()

  private constructor({ netns, address, periodMs }: Question) {
    // Ends with this process, however that ends.
    this.#program = spawn(
      'setpriv',
      [
        '--pdeathsig',
        'KILL',
        'nsenter',
        `--net=${netns}`,
        '--',
        ...PING,
        String(periodMs / 1_000),
        address,
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    )
    let output = ''
    this.#program.stdout.on('data', (chunk: Buffer) => {
      const atMs = wallMs()
      if (output.length < 4_096) output += chunk.toString()
      if (/ seq=\d+ ttl=\d+ time=/.test(output)) this.#answered.resolve(atMs)
    })
    this.#answered.promise.catch(() => undefined)
  }

  /** Resolves when pings are under way. */
  static async of(question: Question): Promise<FirstAnswer> {
    const probe = new FirstAnswer(question)
    await sleep(START_MS)
    return probe
  }

  /** When the first answer came, in milliseconds since 1970; rejects if none comes in time. Stops the pings. */
  async atMs(timeoutMs: number): Promise<number> {
    const timeout = setTimeout(
      () => this.#answered.reject(new Error(`no answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
    try {
      return await this.#answered.promise
    } finally {
      clearTimeout(timeout)
      await this.#stop()
    }
  }

  async #stop(): Promise<void> {
    if (this.#program.exitCode !== null || this.#program.signalCode !== null) return
    const exited = once(this.#program, 'exit', { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
    this.#program.kill('SIGKILL')
    await exited
  }
}

/** Milliseconds since 1970 with the resolution of microseconds. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now()
}
