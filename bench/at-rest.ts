/**
 * What an agent with 20 sets and a server cost while nobody wants anything of them: processor time and memory from
 * /proc. Beside them, in the same run, a Node that does nothing: the floor that each of our processes begins at.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { DIE_WITH_US } from '@nubo/lab'
import { start } from '@nubo/runtime'
import { median, type Verdict } from './measure.ts'
import { CPU_TICKS_PER_SECOND, cpuTicks, residentBytes } from './process-usage.ts'
import type { Stage } from './stage.ts'

const SETS = 20
const SETS_AT_ONCE = 4
/** After this the work of the start is over: connections idle, garbage collected as far as Node does it by itself. */
const SETTLE_MS = 20_000
const WINDOWS = 5
const WINDOW_MS = 6_000
const MEBI = 2 ** 20
const CPU_GOAL_PERCENT = 1
const MEMORY_GOAL_MB = 120

interface Usage {
  readonly cpuPercent: number[]
  readonly memoryMb: number[]
}

export async function atRest(stage: Stage): Promise<Verdict[]> {
  const [host] = stage.hosts
  const names = Array.from({ length: SETS }, (_, number) => `rest-${number + 1}`)
  for (let from = 0; from < SETS; from += SETS_AT_ONCE)
    await Promise.all(
      names
        .slice(from, from + SETS_AT_ONCE)
        .map((name) => stage.runSet({ name, host, cpuMillis: 10, memoryBytes: 8 * MEBI })),
    )
  const idle = start({
    argv: [...DIE_WITH_US, process.execPath, '-e', 'setInterval(() => {}, 1000)'],
  })
  try {
    await sleep(SETTLE_MS)
    const pids = {
      agent: await stage.pidOf(`${host.name}-agent`),
      'server 1': await stage.pidOf('server-s1'),
      'server 2': await stage.pidOf('server-s2'),
      'floor: a Node that does nothing': idle.pid,
    }
    const usage = await watch(Object.values(pids))
    return Object.entries(pids).flatMap(([name, pid]) => {
      const found = usage.get(pid)
      return found === undefined ? [] : verdictsOf(name, found, pid !== idle.pid)
    })
  } finally {
    await idle.stop()
    for (let from = 0; from < SETS; from += SETS_AT_ONCE)
      await Promise.all(names.slice(from, from + SETS_AT_ONCE).map((name) => stage.removeSet(name)))
  }
}

function verdictsOf(name: string, { cpuPercent, memoryMb }: Usage, isPromised: boolean): Verdict[] {
  const what = name === 'agent' ? `agent at rest with ${SETS} sets` : `${name} at rest`
  return [
    {
      what: isPromised ? `${what}, processor` : `  ${name}, processor`,
      unit: '% of a core',
      // The mean over all windows: a tick is a tenth of a percent of a window, so single ones say little.
      value: cpuPercent.reduce((sum, one) => sum + one, 0) / cpuPercent.length,
      ...(isPromised ? { goal: { atMost: CPU_GOAL_PERCENT } } : {}),
      rounds: cpuPercent,
    },
    {
      what: isPromised ? `${what}, memory (RSS)` : `  ${name}, memory (RSS)`,
      unit: 'MB',
      value: median(memoryMb),
      ...(isPromised ? { goal: { atMost: MEMORY_GOAL_MB } } : {}),
      rounds: memoryMb,
    },
  ]
}

async function watch(pids: readonly number[]): Promise<Map<number, Usage>> {
  const usage = new Map(pids.map((pid) => [pid, { cpuPercent: [], memoryMb: [] } as Usage]))
  for (let window = 0; window < WINDOWS; window += 1) {
    const before = new Map(pids.map((pid) => [pid, cpuTicks(pid)]))
    const startMs = performance.now()
    await sleep(WINDOW_MS)
    const seconds = (performance.now() - startMs) / 1_000
    for (const [pid, { cpuPercent, memoryMb }] of usage) {
      const ticks = cpuTicks(pid) - (before.get(pid) ?? 0)
      cpuPercent.push((ticks / CPU_TICKS_PER_SECOND / seconds) * 100)
      memoryMb.push(residentBytes(pid) / 1e6)
    }
  }
  return usage
}
