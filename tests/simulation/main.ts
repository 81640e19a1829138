/**
 * `nubo sim`: the control plane with simulated hosts, under one seed and a virtual clock.
 *   nubo sim run [--seed S] [--count N] [--steps N] [--hosts N]   seeds S, S+1, …; stops at the first that fails
 *   nubo sim replay SEED [--steps N] [--hosts N]                  one seed, with everything that happened
 */
import { parseArgs } from 'node:util'
import { runScenario } from './scenario.ts'

const USAGE =
  'usage: nubo sim run [--seed S] [--count N] [--steps N] [--hosts N]\n       nubo sim replay SEED [--steps N] [--hosts N]\n'

function wholeNumber(text: string, limits: { min: number; max: number }): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= limits.min && value <= limits.max) return value
  throw new RangeError(`${text} is not a whole number from ${limits.min} to ${limits.max}`)
}

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '10' },
      steps: { type: 'string', default: '100' },
      hosts: { type: 'string', default: '4' },
    },
  })
  const [verb, replayed] = positionals
  const shape = {
    steps: wholeNumber(values.steps, { min: 1, max: 100_000 }),
    hosts: wholeNumber(values.hosts, { min: 1, max: 1_000 }),
  }
  if (verb === 'replay' && replayed !== undefined) {
    const { history } = await runScenario(
      wholeNumber(replayed, { min: 0, max: 2 ** 32 - 1 }),
      shape,
    )
    process.stdout.write(`${history.join('\n')}\n`)
    return 0
  }
  if (verb !== 'run') {
    process.stderr.write(USAGE)
    return 2
  }
  const first = wholeNumber(values.seed, { min: 0, max: 2 ** 32 - 1 })
  const count = wholeNumber(values.count, { min: 1, max: 1_000_000 })
  for (let seed = first; seed < first + count; seed++) {
    await runScenario(seed, shape)
    process.stdout.write(`seed ${seed}: everything held\n`)
  }
  return 0
}

main(process.argv.slice(2)).then(
  (exitCode) => {
    process.exitCode = exitCode
  },
  (error: unknown) => {
    const cause =
      error instanceof Error && error.cause instanceof Error ? `\n  ${error.cause.message}` : ''
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}${cause}\n`)
    process.exitCode =
      error instanceof RangeError || (error instanceof Error && 'code' in error) ? 2 : 1
  },
)
