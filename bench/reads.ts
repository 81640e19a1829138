/**
 * Reads of a large region under load: 500 requests a second, sent at their times whatever the answers take, over real
 * HTTP on loopback from this process to a server process, while sets and ports are made and watched.
 * The mix of a second: 350 shows of a set, 100 lists of one host's sets, 20 lists of 50 ports, 25 pages of 1,000 sets,
 * 5 creates (4 ports, a set); and every other second all 20,000 sets as lines.
 * Times are from when a request was due to the last byte of its answer.
 */
import { Agent, request, type ClientRequest } from 'node:http'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { FILLED } from './filled-rows.ts'
import { startFilledServer, type FilledServer } from './filled-server.ts'
import { CPU_TICKS_PER_SECOND, cpuTicks } from './process-usage.ts'
import { median, quantile, type Verdict } from './measure.ts'

const ROUNDS = 5
const WARM_UP_SECONDS = 5
const ROUND_SECONDS = 10
const REQUESTS_PER_SECOND = 500
const WHOLE_LIST_PERIOD_SECONDS = 2
const WATCHERS = 20
const CONNECTIONS_MAX = 128
const PAGE = 1_000

type Kind = 'show' | 'filtered' | 'ports' | 'page' | 'create' | 'whole list' | 'watch'
type Found = Record<Kind, number[]>

/** Which request the n-th of a second is; each kind is spread over the second. */
function kindOf(n: number): Kind {
  if (n % 100 === 50) return 'create'
  if (n % 20 === 10) return 'page'
  if (n % 25 === 3) return 'ports'
  return n % 5 === 1 ? 'filtered' : 'show'
}

export async function reads(signal: AbortSignal): Promise<Verdict[]> {
  const server = await startFilledServer()
  const load = new Load(server)
  try {
    await load.watch(signal)
    await load.run(WARM_UP_SECONDS, signal)
    const rounds: Found[] = []
    const startTicks = cpuTicks(server.pid)
    const startMs = performance.now()
    for (let round = 0; round < ROUNDS; round++) rounds.push(await load.run(ROUND_SECONDS, signal))
    const seconds = (performance.now() - startMs) / 1_000
    const cpuPercent = ((cpuTicks(server.pid) - startTicks) / CPU_TICKS_PER_SECOND / seconds) * 100
    process.stderr.write(
      `  load average ${loadavg()[0]?.toFixed(1)}, ${load.failed} requests failed, ${load.told} events told\n`,
    )
    if (load.failed > 0) throw new Error(`${load.failed} requests failed: ${load.failure}`)
    const of = (kind: Kind, what: string, goalMs?: number): Verdict => {
      const p99 = rounds.map((found) => quantile(found[kind], 0.99))
      return {
        what,
        unit: 'ms',
        value: median(p99),
        ...(goalMs === undefined ? {} : { goal: { atMost: goalMs } }),
        rounds: p99,
      }
    }
    const p50 = (kind: Kind): Verdict => ({
      what: `  the same, p50`,
      unit: 'ms',
      value: median(rounds.map((found) => median(found[kind]))),
    })
    return [
      of('show', 'show of a set under load, p99', 20),
      p50('show'),
      of('filtered', "  list of a host's 20 sets, p99"),
      of('page', 'page of 1,000 sets under load, p99', 50),
      p50('page'),
      of('whole list', `all ${FILLED.sets} sets as lines under load, to the last byte, p99`, 500),
      p50('whole list'),
      of('watch', 'watch delay under load, decision to event, p99', 100),
      p50('watch'),
      of('create', '  create of a port or a set, p99'),
      {
        what: '  processor of the server, all its threads',
        unit: '% of a core',
        value: cpuPercent,
      },
      { what: '  load average', unit: '×', value: loadavg()[0] ?? Number.NaN },
    ]
  } finally {
    load.close()
    await server.close()
  }
}

class Load {
  failed = 0
  failure = ''
  told = 0
  readonly #server: FilledServer
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX })
  readonly #watchers: ClientRequest[] = []
  #found = emptyFound()
  #sent = 0
  #made = 0

  constructor(server: FilledServer) {
    this.#server = server
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
  async watch(signal: AbortSignal): Promise<void> {
    const { revision } = await this.#server.client.setList({ query: { limit: 1 } })
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
    const { path, body, accept } = this.#asked(kind)
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
          incoming.on('data', () => undefined)
          incoming.on('error', (error) => end(error.message))
          incoming.on('end', () => {
            const { statusCode = 0 } = incoming
            end(statusCode < 300 ? undefined : String(statusCode))
          })
        },
      )
      outgoing.on('error', (error) => end(error.message))
      outgoing.end(body)
    })
  }

  #asked(kind: Kind): { path: string; body?: string; accept?: string } {
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
    const { hostname, port } = new URL(this.#server.url)
    return {
      hostname,
      port,
      path,
      method,
      agent: isShared ? this.#agent : false,
      headers: {
        authorization: `Bearer ${this.#server.token}`,
        accept,
        ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
      },
    } as const
  }
}

function emptyFound(): Found {
  return { show: [], filtered: [], ports: [], page: [], create: [], 'whole list': [], watch: [] }
}
