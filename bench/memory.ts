/** What a server with a large region takes: after its start, and after every kind of list was read whole. */
import { setTimeout as sleep } from 'node:timers/promises'
import { FILLED } from './filled-rows.ts'
import { startFilledServer } from './filled-server.ts'
import { median, type Verdict } from './measure.ts'
import { residentBytes } from './process-usage.ts'

const SETTLE_MS = 5_000
const SAMPLES = 5
const SAMPLE_PERIOD_MS = 1_000
const GOAL_MB = 500

export async function memory(signal: AbortSignal): Promise<Verdict[]> {
  const server = await startFilledServer()
  try {
    const at = `${FILLED.hosts} hosts and ${FILLED.sets} sets`
    const started = await samples(server.pid, signal)
    for (const name of ['setList', 'portList', 'operationList', 'hostList'] as const)
      await server.client.listAll(name)
    const read = await samples(server.pid, signal)
    const goal = { atMost: GOAL_MB }
    return [
      {
        what: `server with ${at}, memory (RSS)`,
        unit: 'MB',
        value: median(started),
        goal,
        rounds: started,
      },
      {
        what: `server with ${at} after whole lists, memory (RSS)`,
        unit: 'MB',
        value: median(read),
        goal,
        rounds: read,
      },
      { what: '  start of that server', unit: 's', value: server.readyAfterMs / 1_000 },
    ]
  } finally {
    await server.close()
  }
}

async function samples(pid: number, signal: AbortSignal): Promise<number[]> {
  await sleep(SETTLE_MS, undefined, { signal })
  const found: number[] = []
  while (found.length < SAMPLES) {
    found.push(residentBytes(pid) / 1e6)
    await sleep(SAMPLE_PERIOD_MS, undefined, { signal })
  }
  return found
}
