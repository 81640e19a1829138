import { request } from 'node:http'
import { isErrorCode, PlatformError } from '@nubo/base'
import { labStatus, type LabStatus } from './status.ts'
import { failure, progressLine, type Failure, type Tell } from './steps.ts'

const ALIVE_TIMEOUT_MS = 10_000
const ANSWER_TIMEOUT_MS = 60_000
// Between two lines of long work; the longest step has a shorter deadline of its own.
const SILENCE_MAX_MS = 300_000
const ANSWER_BYTES_MAX = 8 * 2 ** 20

/** Talks to the supervisor of one lab. */
export class SupervisorClient {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  /** Whether it answers. A socket alone says little: that of a dying process still takes connections. */
  async isAlive(): Promise<boolean> {
    try {
      return (
        (await this.#exchange('GET', '/alive', undefined, ALIVE_TIMEOUT_MS, () => undefined)) ===
        200
      )
    } catch {
      return false
    }
  }

  async status(): Promise<LabStatus> {
    return labStatus.parse(await this.#ask('GET', '/status'))
  }

  /** Throws what the supervisor refused with. */
  async change(verb: 'power-off' | 'power-on' | 'cut' | 'heal', body: unknown): Promise<void> {
    await this.#ask('POST', `/${verb}`, body)
  }

  /** Long work: tells each step, throws the failure it ended with. */
  async work(verb: 'up' | 'stop', body: unknown, tell: Tell): Promise<void> {
    let rest = ''
    let end: { failure: Failure | null } | undefined
    await this.#exchange('POST', `/${verb}`, body, SILENCE_MAX_MS, (chunk) => {
      rest += chunk
      const lines = rest.split('\n')
      rest = lines.pop() ?? ''
      for (const text of lines) {
        const line = progressLine.parse(JSON.parse(text))
        if (line.kind === 'step') tell(line.step)
        else end = line
      }
    })
    if (end === undefined) throw lost('it ended before its work was done')
    if (end.failure !== null) throw errorOf(end.failure)
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    let text = ''
    const status = await this.#exchange(method, path, body, ANSWER_TIMEOUT_MS, (chunk) => {
      text += chunk
      if (text.length > ANSWER_BYTES_MAX) throw lost('its answer is too long')
    })
    const value: unknown = JSON.parse(text)
    if (status !== 200) throw errorOf(failure.parse(value))
    return value
  }

  #exchange(
    method: string,
    path: string,
    body: unknown,
    silenceMs: number,
    onText: (chunk: string) => void,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const call = request(
        { socketPath: this.#socket, method, path, timeout: silenceMs },
        (response) => {
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => {
            try {
              onText(chunk)
            } catch (error) {
              reject(error)
              call.destroy()
            }
          })
          response.once('end', () => resolve(response.statusCode ?? 0))
          response.once('error', (cause) => reject(lost('the connection broke', cause)))
        },
      )
      call.once('timeout', () => call.destroy(new Error(`no answer for ${silenceMs / 1_000} s`)))
      call.once('error', (cause) => reject(lost(cause.message, cause)))
      call.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}

function errorOf({ code, message, details }: Failure): PlatformError {
  return new PlatformError(isErrorCode(code) ? code : 'INTERNAL', details, { message })
}

function lost(reason: string, cause?: unknown): PlatformError {
  return new PlatformError(
    'SETUP_FAILED',
    { next: 'see supervisor.log in the log folder; `nubo down` ends everything' },
    { message: `The supervisor of the lab does not answer: ${reason}`, cause },
  )
}
