/** How long `nubo up --no-demo` takes on a machine that has everything installed, as somebody at a terminal sees it. */
import { rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createLab } from '@nubo/lab'
import { run } from '@nubo/runtime'
import { median, ROUNDS_MIN, type Verdict } from './measure.ts'
import { makeHomeFolder } from './stage.ts'

const launcher = resolve(import.meta.dirname, '../nubo')
const UP_TIMEOUT_MS = 120_000

/** Each round starts three hosts in a new home, then once more in the same home, where keys and tables are there. */
export async function up(signal: AbortSignal): Promise<Verdict[]> {
  const first: number[] = []
  const again: number[] = []
  for (let round = 0; round < ROUNDS_MIN; round += 1) {
    const folder = makeHomeFolder()
    const lab = createLab({ home: join(folder, 'c') })
    try {
      first.push(await timedUp(lab.home.folder, signal))
      await lab.down()
      again.push(await timedUp(lab.home.folder, signal))
    } finally {
      await lab.down({ purge: true })
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return [
    {
      what: 'nubo up --no-demo, three hosts, new home',
      unit: 's',
      value: median(first),
      goal: { atMost: 15 },
      rounds: first,
    },
    {
      what: '  the same home once more, after down',
      unit: 's',
      value: median(again),
      rounds: again,
    },
  ]
}

async function timedUp(home: string, signal: AbortSignal): Promise<number> {
  const startMs = performance.now()
  await run({
    argv: [launcher, 'up', '--no-demo'],
    env: { NUBO_HOME: home },
    timeoutMs: UP_TIMEOUT_MS,
    signal,
  })
  return (performance.now() - startMs) / 1_000
}
