/**
 * Sets per second through everything but engines: real servers and PostgreSQL, real sessions of simulated hosts over
 * mutual TLS. Sets are created at a steady rate and removed at the same rate once there are enough, so that their
 * number stays level. A create counts from its acknowledgement until the watch tells that its operation is done.
 */
import { quantile, type Verdict } from './measure.ts'
import { runLoad, type LoadOutcome } from './set-load.ts'
import { CPU_TICKS_PER_SECOND, cpuTicks, familyCpuTicks, residentBytes } from './process-usage.ts'
import { SimulatedStage } from './simulated-stage.ts'

const HOSTS = 1_000
const SETS_PER_SECOND = 150
const LEVEL_SETS = 3_000
/** Until as many operations have ended as are kept. */
const WARM_MS = 90_000
const MEASURED_MS = 300_000
/** A leak of a kilobyte per set would be 45 MB. */
const LEAK_MAX_MB = 40

export async function endToEnd(signal: AbortSignal): Promise<Verdict[]> {
  const stage = await SimulatedStage.start({ hosts: HOSTS, signal })
  try {
    let before: (number | undefined)[] = []
    let usedBefore = processorMs(stage)
    const outcome = await runLoad({
      tenants: stage.tenants,
      watcher: stage.tenants[1] ?? stage.control.operator(),
      setsPerSecond: SETS_PER_SECOND,
      levelSets: LEVEL_SETS,
      warmMs: WARM_MS,
      durationMs: MEASURED_MS,
      onWarm: () => {
        before = stage.control.heldMegabytes()
        usedBefore = processorMs(stage)
      },
      prefix: 'set',
      signal,
    })
    const used = processorMs(stage)
    const after = stage.control.heldMegabytes()
    const resident = stage.control.serverPids.map(residentBytes)
    return [
      ...verdictsOf(outcome, { before, after, resident }),
      ...perSet(outcome, { before: usedBefore, after: used }),
    ]
  } finally {
    await stage.close()
  }
}

type CpuTimes = Readonly<
  Record<'servers' | 'PostgreSQL' | 'simulated hosts' | 'this bench', number>
>

/** User and system time so far, ms. */
function processorMs({ control, hosts }: SimulatedStage): CpuTimes {
  const sum = (ticks: readonly number[]): number =>
    (ticks.reduce((total, one) => total + one, 0) / CPU_TICKS_PER_SECOND) * 1_000
  return {
    servers: sum(control.serverPids.map(cpuTicks)),
    PostgreSQL: sum([familyCpuTicks(control.postgresPid)]),
    'simulated hosts': sum(hosts.pids.map(cpuTicks)),
    'this bench': sum([cpuTicks(process.pid)]),
  }
}

/** What decides how many sets a machine can make; it travels less badly than times do where others work beside. */
function perSet(
  { latenciesMs }: LoadOutcome,
  { before, after }: { before: CpuTimes; after: CpuTimes },
): Verdict[] {
  // proof: the keys of the record
  const parts = (Object.keys(after) as (keyof CpuTimes)[]).map((who): Verdict => ({
    what: `    of it ${who}`,
    unit: 'ms',
    value: (after[who] - before[who]) / latenciesMs.length,
  }))
  const value = parts.reduce((total, part) => total + part.value, 0)
  return [
    { what: '  processor for a set that is created and removed', unit: 'ms', value },
    ...parts,
  ]
}

function verdictsOf(
  outcome: LoadOutcome,
  memory: {
    before: readonly (number | undefined)[]
    after: readonly (number | undefined)[]
    resident: readonly number[]
  },
): Verdict[] {
  const { latenciesMs, failures } = outcome
  const at = `${SETS_PER_SECOND} creates and removes a second on ${HOSTS} simulated hosts`
  return [
    {
      what: `${at}, creates that ran`,
      unit: '/s',
      value: latenciesMs.length / (outcome.elapsedMs / 1_000),
      // A hundredth below: the last ones of the time are still under way.
      goal: { atLeast: SETS_PER_SECOND * 0.99 },
    },
    {
      what: `${at}, acknowledged → running, p99`,
      unit: 'ms',
      value: quantile(latenciesMs, 0.99),
      goal: { atMost: 2_000 },
    },
    {
      what: `${at}, what failed${failures[0] === undefined ? '' : `, the first: ${failures[0]}`}`,
      unit: 'operations',
      value: failures.length,
      goal: { atMost: 0 },
    },
    { what: `  acknowledged → running, median`, unit: 'ms', value: quantile(latenciesMs, 0.5) },
    { what: `  call → acknowledged, p99`, unit: 'ms', value: quantile(outcome.callsMs, 0.99) },
    ...memory.resident.map((bytes, index): Verdict => ({
      what: `  server ${index + 1}, memory taken from the machine after it`,
      unit: 'MB',
      value: bytes / 1e6,
    })),
    ...memory.after.map((held, index): Verdict => ({
      what: `server ${index + 1}, memory in use gained meanwhile`,
      unit: 'MB',
      value: (held ?? Number.NaN) - (memory.before[index] ?? Number.NaN),
      goal: { atMost: LEAK_MAX_MB },
    })),
  ]
}
