/**
 * `nubo sim`: the control plane with simulated hosts, under one seed and a virtual clock. `USAGE` says what it can do,
 * docs/guides/simulator.md what it is for.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { runSeeds, serveSeeds, type SeedResult } from './jobs.ts'
import { loadPlanted, mutations, type Mutation } from './mutations/index.ts'
import { parseOptions, USAGE, UsageError, wholeNumber, type SimOptions } from './options.ts'
import { drawPlan } from './plan.ts'
import { shrink } from './shrink.ts'

const SHRINK_RUNS_MAX = 120
const PROGRESS_PERIOD_MS = 10_000
const HOUR_MS = 3_600_000
const thisProgram = fileURLToPath(import.meta.url)

async function main(argv: readonly string[]): Promise<number> {
  if (argv.some((word) => word === '--help' || word === '-h')) {
    process.stdout.write(USAGE)
    return 0
  }
  const options = parseOptions(argv)
  if (options.mutation !== undefined) loadPlanted(mutationNamed(options.mutation))
  switch (options.verb) {
    case 'run':
      return run(options, argv)
    case 'serve':
      serveSeeds((seed) => runSeed(seed, options))
      return new Promise((resolve) => process.once('disconnect', () => resolve(0)))
    case 'replay':
      return replay(options)
    case 'mutations':
      return plantAll(options)
    case 'kill':
      return kill(options)
    default:
      throw new UsageError('what shall be done?')
  }
}

/** Loaded late: a planted bug must be in place before the files that it changes. */
async function runPlan(...asked: Parameters<typeof import('./scenario.ts').runPlan>) {
  const scenario = await import('./scenario.ts')
  return scenario.runPlan(...asked)
}

async function runSeed(seed: number, { shape }: SimOptions): Promise<SeedResult> {
  const { violation, simulatedMs, events } = await runPlan(drawPlan(seed, shape))
  return {
    seed,
    simulatedMs,
    events,
    violation: violation && { kind: violation.kind, text: violation.message },
  }
}

async function run(options: SimOptions, argv: readonly string[]): Promise<number> {
  const beganAtMs = performance.now()
  let lastToldMs = beganAtMs
  let done = 0
  let simulatedMs = 0
  const tell = (): void => {
    const tookMs = performance.now() - beganAtMs
    process.stdout.write(
      `${done} seeds in ${(tookMs / 1_000).toFixed(1)} s: ${((done * 1_000) / tookMs).toFixed(2)} seeds/s, ` +
        `${(simulatedMs / HOUR_MS).toFixed(2)} simulated hours, ${(simulatedMs / tookMs).toFixed(0)} per machine hour\n`,
    )
  }
  const failed = await runSeeds({
    first: options.seed,
    count: options.count,
    jobs: options.jobs,
    worker: { program: thisProgram, words: ['serve', ...argv.filter((word) => word !== 'run')] },
    onResult: (result) => {
      done += 1
      simulatedMs += result.simulatedMs
      if (performance.now() - lastToldMs < PROGRESS_PERIOD_MS) return
      lastToldMs = performance.now()
      tell()
    },
  })
  tell()
  if (failed === undefined) {
    process.stdout.write(
      `seeds ${options.seed} to ${options.seed + options.count - 1}: everything held\n`,
    )
    return 0
  }
  await tellFailure(failed.seed, options)
  return 1
}

async function replay(options: SimOptions): Promise<number> {
  const seed = wholeNumber(options.names[0], { name: 'seed', min: 0, max: 2 ** 32 - 1 })
  if (options.shrinks) {
    await tellFailure(seed, options)
    return 1
  }
  const outcome = await runPlan(drawPlan(seed, options.shape), {
    keepTrace: options.traceFile !== undefined,
  })
  process.stdout.write(`${outcome.history.join('\n')}\n`)
  process.stdout.write(`${outcome.events} events, fingerprint ${outcome.digest}\n`)
  if (options.traceFile !== undefined)
    writeFileSync(options.traceFile, outcome.lines?.join('') ?? '')
  process.stdout.write(
    outcome.violation === undefined ? 'everything held\n' : `${outcome.violation.message}\n`,
  )
  return outcome.violation === undefined ? 0 : 1
}

/** What failed, the shortest history that still shows it, and how to see it again. */
async function tellFailure(seed: number, options: SimOptions): Promise<void> {
  const plan = drawPlan(seed, options.shape)
  const whole = await runPlan(plan)
  if (whole.violation === undefined) {
    process.stdout.write(`seed ${seed}: everything held this time\n`)
    return
  }
  const { kind } = whole.violation
  const shorter = await shrink(plan, kind, { run: runPlan, runsMax: SHRINK_RUNS_MAX })
  const outcome = shorter.outcome ?? whole
  const words = ['nubo sim replay', seed, ...options.shapeWords]
  if (options.mutation !== undefined) words.push('--mutation', options.mutation)
  process.stdout.write(
    [
      `seed ${seed} fails: ${outcome.violation?.message}`,
      `the shortest history found (${shorter.plan.steps.length} of ${plan.steps.length} steps, ${shorter.runs} runs):`,
      ...outcome.history.map((line) => `  ${line}`),
      `see all of it with: ${words.join(' ')}`,
      '',
    ].join('\n'),
  )
}

function mutationNamed(name: string): Mutation {
  const found = mutations.find((one) => one.name === name)
  if (found === undefined)
    throw new UsageError(
      `there is no planted bug ${name}; there are ${mutations.map((one) => one.name).join(', ')}`,
    )
  return found
}

/** Plants each bug and counts the seeds until it is found. */
async function plantAll(options: SimOptions): Promise<number> {
  const chosen = options.names.length === 0 ? mutations : options.names.map(mutationNamed)
  let missed = 0
  for (const { name, seedsMax, faults } of chosen) {
    const only = faults === undefined ? [] : ['--faults', faults.join(',')]
    let simulatedMs = 0
    const failed = await runSeeds({
      first: options.seed,
      count: seedsMax,
      jobs: options.jobs,
      worker: {
        program: thisProgram,
        words: ['serve', '--mutation', name, ...options.shapeWords, ...only],
      },
      onResult: (result) => {
        simulatedMs += result.simulatedMs
      },
    })
    if (failed === undefined) missed += 1
    process.stdout.write(
      failed === undefined
        ? `${name}: NOT FOUND in ${seedsMax} seeds\n`
        : `${name}: found by seed ${failed.seed} (${failed.seed - options.seed + 1} of at most ${seedsMax}): ${failed.violation?.text.split('\n')[0]}\n`,
    )
  }
  return missed === 0 ? 0 : 1
}

async function kill(options: SimOptions): Promise<number> {
  const { killReport } = await import('./kill.ts')
  process.stdout.write(await killReport(options))
  return 0
}

main(process.argv.slice(2)).then(
  // What makes the database leaves a timer of ten seconds behind, which would hold this process.
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    if (error instanceof UsageError) process.stderr.write(USAGE)
    process.exit(error instanceof UsageError ? 2 : 1)
  },
)
