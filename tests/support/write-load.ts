import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { send } from './http.ts'

const WRITERS_PER_SERVER = 2
/** Between two writes of one writer. */
const PAUSE_MS = 20

const refusal = z.object({ code: z.string(), message: z.string() })

export interface ServerLoad {
  /** Names of networks whose making was acknowledged. */
  readonly acknowledged: string[]
  /** What was refused with 503, in the words of the refusals. */
  readonly refusals: string[]
  /** How many reads were answered while writes were refused last. */
  reads: number
}

/**
 * Callers that write without end, each through one server and again as soon as it has its answer, and read in between.
 * Whatever is neither done nor refused as unavailable is wrong, and so is a read without its answer.
 */
export class WriteLoad {
  readonly servers: readonly ServerLoad[]
  readonly wrong: string[] = []
  readonly #token: string
  readonly #running: Promise<unknown>
  #isEnding = false
  #writes = 0

  constructor(urls: readonly string[], token: string) {
    this.#token = token
    this.servers = urls.map(() => ({ acknowledged: [], refusals: [], reads: 0 }))
    this.#running = Promise.all(
      this.servers.flatMap((server, at) =>
        Array.from({ length: WRITERS_PER_SERVER }, () => this.#write(urls[at] ?? '', server)),
      ),
    )
  }

  /** Resolves when nothing is under way any more. Idempotent. */
  async stop(): Promise<void> {
    this.#isEnding = true
    await this.#running
  }

  async #write(url: string, server: ServerLoad): Promise<void> {
    while (!this.#isEnding) {
      const name = `n-${++this.#writes}`
      const body = { name, cidr: '10.0.0.0/16' }
      const reply = await this.#send(url, { method: 'POST', path: '/v1/networks', body })
      if (reply?.status === 503) {
        const told = refusal.parse(reply.json)
        server.refusals.push(`${told.code}: ${told.message}`)
      } else if (reply !== undefined && reply.status < 300) server.acknowledged.push(name)
      else if (reply !== undefined) this.wrong.push(`${name}: ${reply.status} ${reply.text}`)
      const read = await this.#send(url, { path: '/v1/networks?limit=1' })
      if (read?.status === 200) server.reads += 1
      else if (read !== undefined) this.wrong.push(`a read: ${read.status} ${read.text}`)
      await sleep(PAUSE_MS)
    }
  }

  async #send(url: string, asked: { method?: string; path: string; body?: object }) {
    try {
      return await send(url, { ...asked, token: this.#token })
    } catch (error) {
      this.wrong.push(`${asked.path}: ${String(error)}`)
      return undefined
    }
  }
}
