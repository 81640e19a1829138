// Proves, for some seeds, that the whole control plane with real agents keeps its promises under faults: nothing runs twice,
// no address twice, acknowledged writes survive, operations end, every copy equals the tables, and what is wanted is
// reached once faults stop. `NUBO_SEED=n` replays one seed; `nubo sim run` runs as many as one likes.
import { readFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runSeeds } from './jobs.ts'
import { mutations, plant } from './mutations/index.ts'
import { drawPlan, faultFamilies, type Shape } from './plan.ts'
import { runPlan } from './scenario.ts'
import { shrink } from './shrink.ts'

const shape: Shape = { steps: 60, hosts: 4, gapMs: 2_000, faults: faultFamilies }
const seeds =
  process.env['NUBO_SEED'] === undefined
    ? { first: 1, count: 300 }
    : { first: Number(process.env['NUBO_SEED']), count: 1 }

test(`seeds ${seeds.first} to ${seeds.first + seeds.count - 1}`, { timeout: 900_000 }, async () => {
  const failed = await runSeeds({
    ...seeds,
    jobs: 2,
    worker: { program: fileURLToPath(import.meta.resolve('./main.ts')), words: ['serve'] },
    onResult: () => undefined,
  })
  if (failed === undefined) return
  const { violation, history } = await runPlan(drawPlan(failed.seed, shape))
  throw new Error(`seed ${failed.seed}: ${failed.violation?.text}\n${history.join('\n')}`, {
    cause: violation,
  })
})

test(
  'a seed gives the same trace each time, byte for byte',
  { timeout: 120_000 },
  async (context: TestContext) => {
    const plan = drawPlan(11, { ...shape, steps: 25 })
    const first = await runPlan(plan, { keepTrace: true })
    const second = await runPlan(plan, { keepTrace: true })
    context.assert.deepEqual(second.lines, first.lines)
    context.assert.equal(second.digest, first.digest)
  },
)

test('a failing plan is cut down to the steps that it fails by', async (context: TestContext) => {
  const plan = drawPlan(3, shape)
  const guilty = new Set([plan.steps[17], plan.steps[42]])
  const passing = await runPlan({ ...plan, steps: [] })
  const shorter = await shrink(plan, 'planted', {
    runsMax: 200,
    run: ({ steps }) =>
      Promise.resolve({
        ...passing,
        violation:
          steps.filter((step) => guilty.has(step)).length === guilty.size
            ? Object.assign(new Error('planted'), { kind: 'planted' })
            : undefined,
      }),
  })
  context.assert.deepEqual(shorter.plan.steps, [...guilty])
})

for (const { name, edits } of mutations) {
  test(`the bug ${name} can still be planted`, () => {
    for (const file of new Set(edits.map((edit) => edit.file))) {
      const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
      plant(
        edits.filter((edit) => edit.file === file),
        text,
      )
    }
  })
}
