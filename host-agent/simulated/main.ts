/**
 * A process of simulated hosts: `node host-agent/simulated/main.ts CONFIG`. Reads the file (see fleet-config.ts),
 * joins, and runs until SIGTERM; its state is in the status file. People start it by `nubo sim hosts`.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { every, explain } from '@nubo/base'
import { systemClock, systemRandom } from '@nubo/runtime/process'
import { readFleetConfig } from './fleet-config.ts'
import { SimulatedFleet } from './simulated-fleet.ts'

const STATUS_PERIOD_MS = 1_000
const STOP_TIMEOUT_MS = 10_000

async function main([file]: readonly string[]): Promise<void> {
  if (file === undefined) throw new Error('usage: node host-agent/simulated/main.ts CONFIG')
  const config = readFleetConfig(file)
  // Its tokens are of no more use to anybody.
  rmSync(file)
  const fleet = new SimulatedFleet({ config, clock: systemClock, random: systemRandom })
  const tell = (): void => {
    const draft = `${config.statusFile}.new`
    writeFileSync(draft, JSON.stringify({ ...fleet.status, rssBytes: process.memoryUsage.rss() }), {
      mode: 0o600,
    })
    renameSync(draft, config.statusFile)
  }
  const stopping = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  const telling = every(systemClock, STATUS_PERIOD_MS, tell)
  void fleet.join()
  await stopping
  setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref()
  telling.cancel()
  await fleet.stop()
  tell()
}

try {
  await main(process.argv.slice(2))
  process.exit(0)
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(1)
}
