/** The load of the bench of reads: requests sent at their times, whatever the answers take. */
import { Agent, request, type ClientRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { FILLED } from './filled-rows.ts'

const REQUESTS_PER_SECOND = 500
const WHOLE_LIST_PERIOD_SECONDS = 2
const WATCHERS = 20
const CONNECTIONS_MAX = 128
const PAGE = 1_000
const IDLE_CONNECTION_MS = 3_000

export type Kind = 'show' | 'filtered' | 'ports' | 'page' | 'create' | 'whole list' | 'watch'
/** What each answer took, ms. */
export type Found = Record<Kind, number[]>

interface Asked {
  readonly path: string
  readonly body?: string
  readonly accept?: string
}

export interface Target {
  readonly url: string
  readonly token: string
  /** Instead of what a server of ours is asked. */
  readonly asked?: (kind: Kind) => Asked
}

/** Which request the n-th of a second is; each kind is spread over the second. */
function kindOf(n: number): Kind {
  if (n % 100 === 50) return 'create'
  if (n % 20 === 10) return 'page'
  if (n % 25 === 3) return 'ports'
  return n % 5 === 1 ? 'filtered' : 'show'
}

export class ReadLoad {
  failed = 0
  failure = ''
  told = 0
  /** How long the newest answer of each kind was. */
  readonly bytes: Record<Kind, number> = {
    show: 0,
    filtered: 0,
    ports: 0,
    page: 0,
    create: 0,
    'whole list': 0,
    watch: 0,
  }
  readonly #target: Target
  /** Idle connections are closed from here, before the server may: between rounds they are. */
  readonly #agent = new Agent({
    keepAlive: true,
    maxSockets: CONNECTIONS_MAX,
    timeout: IDLE_CONNECTION_MS,
  })
  readonly #watchers: ClientRequest[] = []
  #found = emptyFound()
  #sent = 0
  #made = 0

  constructor(target: Target) {
    this.#target = target
  }

  /** So many seconds of the mix; returns once all is answered. */
  async run(seconds: number, signal: AbortSignal): Promise<Found> {
    this.#found = emptyFound()
    const startMs = performance.now()
    const answers: Promise<void>[] = []
    for (let n = 0; n < seconds * REQUESTS_PER_SECOND; n++) {
      const dueMs = startMs + (n * 1_000) / REQUESTS_PER_SECOND
      const aheadMs = dueMs - performance.now()
      if (aheadMs > 1) await sleep(aheadMs, undefined, { signal })
      answers.push(this.#send(kindOf(n % REQUESTS_PER_SECOND), dueMs))
      if (n % (REQUESTS_PER_SECOND * WHOLE_LIST_PERIOD_SECONDS) === 0)
        answers.push(this.#send('whole list', dueMs))
    }
    await Promise.all(answers)
    return this.#found
  }

  /** Watchers that hear of every port and set that is made, and tell how long it took. */
  async watch(revision: number, signal: AbortSignal): Promise<void> {
    for (let n = 0; n < WATCHERS; n++) {
      await new Promise<void>((resolve, reject) => {
        const path = `/v1/watch?kind=port&kind=set&from=${revision}`
        const outgoing = request(this.#options(path, 'GET', false), (incoming) => {
          let rest = ''
          incoming.setEncoding('utf8').on('data', (text: string) => {
            const lines = (rest + text).split('\n\n')
            rest = lines.pop() ?? ''
            for (const line of lines) this.#told(line)
            resolve()
          })
          incoming.on('error', () => undefined)
        })
        outgoing.on('error', reject).end()
        this.#watchers.push(outgoing)
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
    }
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.destroy()
    this.#agent.destroy()
  }

  #told(line: string): void {
    if (!line.includes('"name":"made-')) return
    const made = Number(/"createdAtMs":(\d+)\}\}$/.exec(line)?.[1])
    // A set is told of again when it is placed: only the first news of something tell how late news are.
    const isFirst = line.includes('"kind":"port"') || line.includes('"epoch":0')
    if (!isFirst || Number.isNaN(made)) return
    this.told++
    this.#found.watch.push(Date.now() - made)
  }

  #send(kind: Kind, dueMs: number): Promise<void> {
    const { path, body, accept } = this.#target.asked?.(kind) ?? this.#asked(kind)
    return new Promise((resolve) => {
      const end = (failure: string | undefined): void => {
        if (failure === undefined) this.#found[kind].push(performance.now() - dueMs)
        else {
          this.failed++
          this.failure = `${kind}: ${failure}`
        }
        resolve()
      }
      const outgoing = request(
        this.#options(path, body === undefined ? 'GET' : 'POST', true, accept),
        (incoming) => {
          let bytes = 0
          incoming.on('data', (chunk: Buffer) => (bytes += chunk.length))
          incoming.on('error', (error) => end(error.message))
          incoming.on('end', () => {
            const { statusCode = 0 } = incoming
            this.bytes[kind] = bytes
            end(statusCode < 300 ? undefined : String(statusCode))
          })
        },
      )
      outgoing.on('error', (error) => end(error.message))
      outgoing.end(body)
    })
  }

  #asked(kind: Kind): Asked {
    const n = this.#sent++
    switch (kind) {
      case 'show':
        return { path: `/v1/sets/set-${1 + ((n * 7_919) % FILLED.sets)}` }
      case 'filtered':
        return { path: `/v1/sets?host=h${1 + ((n * 31) % FILLED.hosts)}` }
      case 'ports':
        return { path: `/v1/ports?network=net-${1 + (n % FILLED.networks)}&limit=50` }
      case 'page':
        return { path: `/v1/sets?limit=${PAGE}` }
      case 'create':
        return this.#create()
      default:
        return { path: '/v1/sets', accept: 'application/x-ndjson' }
    }
  }

  #create(): { path: string; body: string } {
    const made = this.#made++
    const name = `made-${made}`
    const network = `net-${1 + (made % FILLED.networks)}`
    if (made % 5 !== 0) return { path: '/v1/ports', body: JSON.stringify({ name, network }) }
    const containers = [{ name: 'web', image: 'image-1' }]
    return { path: '/v1/sets', body: JSON.stringify({ name, network, containers }) }
  }

  #options(path: string, method: string, isShared: boolean, accept = 'application/json') {
    const { hostname, port } = new URL(this.#target.url)
    return {
      hostname,
      port,
      path,
      method,
      agent: isShared ? this.#agent : false,
      headers: {
        authorization: `Bearer ${this.#target.token}`,
        accept,
        ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
      },
    } as const
  }
}

function emptyFound(): Found {
  return { show: [], filtered: [], ports: [], page: [], create: [], 'whole list': [], watch: [] }
}
