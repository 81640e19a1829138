/**
 * Both servers are killed at once under thousands of connected hosts and started again: how long until every host is
 * served (its session is recorded and it has its wanted state), and what the event loops of the servers went through.
 * Real WebSockets with mutual TLS; hosts, servers and PostgreSQL share the machine, and the hosts, which would be machines
 * of their own, leave it to the others where both want it.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Verdict } from './measure.ts'
import { residentBytes } from './process-usage.ts'
import { SimulatedStage } from './simulated-stage.ts'

const HOSTS = 5_000
const SERVED_GOAL_S = 30
const SERVED_TIMEOUT_MS = 120_000
const LOOP_DELAY_GOAL_MS = 100
const POLL_MS = 50
const HOSTS_NICE = 5
/** The kernel lets others than root write one each 100 ms. */
const AUTOGROUP_PAUSE_MS = 150

export async function reconnect(signal: AbortSignal): Promise<Verdict[]> {
  const stage = await SimulatedStage.start({ hosts: HOSTS, signal })
  try {
    for (const pid of stage.hosts.pids) {
      lowerPriority(pid)
      await sleep(AUTOGROUP_PAUSE_MS)
    }
    return await storm(stage, { hosts: HOSTS, signal })
  } finally {
    await stage.close()
  }
}

export async function storm(
  stage: SimulatedStage,
  options: { hosts: number; signal: AbortSignal },
): Promise<Verdict[]> {
  const { hosts, signal } = options
  const { control } = stage
  await control.stopServers('killed')
  const killedMs = performance.now()
  await control.startServers()
  const startedMs = performance.now()
  const operators = control.apis.map((_api, index) => control.operator(index))
  for (;;) {
    signal.throwIfAborted()
    const served = await Promise.all(operators.map((operator) => operator.serverShow()))
    const connected = served.reduce((sum, server) => sum + server.hostsConnected, 0)
    if (connected >= hosts) break
    if (performance.now() - startedMs > SERVED_TIMEOUT_MS)
      throw new Error(`${connected} of ${hosts} hosts are served after ${SERVED_TIMEOUT_MS} ms`)
    await sleep(POLL_MS)
  }
  const servedMs = performance.now()
  const loops = control.loopDelays
  const at = `${hosts} hosts reconnecting at once`
  return [
    {
      what: `${at}, servers listen again → all served`,
      unit: 's',
      value: (servedMs - startedMs) / 1_000,
      goal: { atMost: SERVED_GOAL_S },
    },
    { what: '  servers killed → all served', unit: 's', value: (servedMs - killedMs) / 1_000 },
    ...loops.flatMap(({ p99Ms, maxMs }, index): Verdict[] => [
      {
        what: `${at}, event-loop delay p99 of server ${index + 1}`,
        unit: 'ms',
        value: p99Ms,
        goal: { atMost: LOOP_DELAY_GOAL_MS },
      },
      { what: `  event-loop delay of server ${index + 1}, longest`, unit: 'ms', value: maxMs },
    ]),
    ...control.serverPids.map((pid, index): Verdict => ({
      what: `  server ${index + 1}, memory`,
      unit: 'MB',
      value: residentBytes(pid) / 1e6,
    })),
  ]
}

/** Where the kernel groups processes by session, the group is what counts. */
function lowerPriority(pid: number): void {
  setPriority(pid, HOSTS_NICE)
  const group = `/proc/${pid}/autogroup`
  if (existsSync(group)) writeFileSync(group, String(HOSTS_NICE))
}
