// Proves, for a handful of seeds, that the whole control plane with real agents keeps its promises under faults:
// no address twice, no instance on two hosts in one epoch, every operation ends, every copy equals the tables,
// and what is wanted is reached once faults stop. `NUBO_SEED=n` replays one seed.
import { test } from 'node:test'
import { runScenario } from './scenario.ts'

const seeds =
  process.env['NUBO_SEED'] === undefined ? [1, 2, 3, 4, 5, 6] : [Number(process.env['NUBO_SEED'])]

for (const seed of seeds) {
  test(`seed ${seed}`, { timeout: 120_000 }, async () => {
    await runScenario(seed, { steps: 60, hosts: 4 })
  })
}

test('a seed gives the same history each time', { timeout: 120_000 }, async (context) => {
  const first = await runScenario(11, { steps: 25, hosts: 3 })
  const second = await runScenario(11, { steps: 25, hosts: 3 })
  context.assert.deepEqual(second.history, first.history)
})
