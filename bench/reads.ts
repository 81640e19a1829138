/**
 * Reads of a large region under load: 500 requests a second, sent at their times whatever the answers take, over real
 * HTTP on loopback from this process to a server process, while sets and ports are made and watched.
 * The mix of a second: 350 shows of a set, 100 lists of one host's sets, 20 lists of 50 ports, 25 pages of 1,000 sets,
 * 5 creates (4 ports, a set); and every other second all 20,000 sets as lines.
 * Times are from when a request was due to the last byte of its answer.
 * The floor, in turn with it: the same mix asked of a server that only sends as many bytes. Its tail is that of the
 * machine, of Node and of this process, which takes the answers in.
 */
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { DIE_WITH_US } from '@nubo/lab'
import { start, type RunningProgram } from '@nubo/runtime'
import { FILLED } from './filled-rows.ts'
import { startFilledServer } from './filled-server.ts'
import { CPU_TICKS_PER_SECOND, cpuTicks } from './process-usage.ts'
import { median, quantile, type Verdict } from './measure.ts'
import { ReadLoad, type Found, type Kind } from './read-load.ts'

const ROUNDS = 5
const WARM_UP_SECONDS = 5
const ROUND_SECONDS = 10
const BARE_PORT = 7_490

export async function reads(signal: AbortSignal): Promise<Verdict[]> {
  const server = await startFilledServer()
  const load = new ReadLoad(server)
  const bare = startBareServer(new URL(server.url).hostname)
  const bareLoad = new ReadLoad({
    url: bare.url,
    token: 'none',
    asked: (kind) => ({ path: `/${load.bytes[kind]}` }),
  })
  try {
    const { revision } = await server.client.setList({ query: { limit: 1 } })
    await load.watch(revision, signal)
    await load.run(WARM_UP_SECONDS, signal)
    await bareLoad.run(WARM_UP_SECONDS, signal)
    const rounds: Found[] = []
    const bareRounds: Found[] = []
    let usedTicks = 0
    let seconds = 0
    for (let round = 0; round < ROUNDS; round++) {
      const startTicks = cpuTicks(server.pid)
      const startMs = performance.now()
      rounds.push(await load.run(ROUND_SECONDS, signal))
      usedTicks += cpuTicks(server.pid) - startTicks
      seconds += (performance.now() - startMs) / 1_000
      bareRounds.push(await bareLoad.run(ROUND_SECONDS, signal))
    }
    const cpuPercent = (usedTicks / CPU_TICKS_PER_SECOND / seconds) * 100
    process.stderr.write(
      `  load average ${loadavg()[0]?.toFixed(1)}, ${load.failed} requests failed, ${load.told} events told\n`,
    )
    for (const { failed, failure } of [load, bareLoad])
      if (failed > 0) throw new Error(`${failed} requests failed: ${failure}`)
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
    const floor = (kind: Kind): Verdict => {
      const p99 = bareRounds.map((found) => quantile(found[kind], 0.99))
      return { what: '  floor: only sends as much', unit: 'ms', value: median(p99), rounds: p99 }
    }
    const p50 = (kind: Kind): Verdict => ({
      what: `  the same, p50`,
      unit: 'ms',
      value: median(rounds.map((found) => median(found[kind]))),
    })
    return [
      of('show', 'show of a set under load, p99', 20),
      floor('show'),
      p50('show'),
      of('filtered', "  list of a host's 20 sets, p99"),
      of('page', 'page of 1,000 sets under load, p99', 50),
      floor('page'),
      p50('page'),
      of('whole list', `all ${FILLED.sets} sets as lines under load, to the last byte, p99`, 500),
      floor('whole list'),
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
    bareLoad.close()
    await bare.program.stop()
    await server.close()
  }
}

function startBareServer(host: string): { url: string; program: RunningProgram } {
  const script = fileURLToPath(new URL('bare-server.ts', import.meta.url))
  const argv = [...DIE_WITH_US, process.execPath, script, host, String(BARE_PORT)] as const
  return { url: `http://${host}:${BARE_PORT}`, program: start({ argv, logFile: '/dev/null' }) }
}
