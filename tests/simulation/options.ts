import { parseArgs } from 'node:util'
import { faultFamilies, type FaultFamily, type Shape } from './plan.ts'

export const USAGE = `usage: nubo sim run [--seed S] [--count N] [--jobs J] [shape]     seeds S, S+1, …; stops at the first that fails
       nubo sim replay SEED [shape] [--shrink] [--trace FILE]  one seed again, with everything that happened
       nubo sim mutations [NAME…] [--jobs J]                   plants each known bug and looks for it
       nubo sim kill --inventory FILE (--rack R | --zone Z | --host H…)   what would happen if these went
 shape: [--hosts N] [--steps N] [--hours H] [--every SECONDS] [--faults a,b,…]
        --hours and --every: a long run with something happening so often on average, instead of --steps close together
        faults: ${faultFamilies.join(', ')}; all unless named
`

/** What a person wrote that cannot be done. */
export class UsageError extends Error {}

const STEPS_GAP_MS = 2_000
/** `drawPlan` draws gaps whose mean is so many times `gapMs`. */
const MEAN_GAP_FACTOR = 0.85 * 0.5 + 0.15 * 6

export interface SimOptions {
  readonly verb: string | undefined
  readonly names: readonly string[]
  readonly seed: number
  readonly count: number
  readonly jobs: number
  readonly shape: Shape
  /** The words that give this shape again. */
  readonly shapeWords: readonly string[]
  readonly mutation: string | undefined
  readonly shrinks: boolean
  readonly traceFile: string | undefined
  readonly inventory: string | undefined
  readonly rack: string | undefined
  readonly zone: string | undefined
  readonly host: readonly string[]
}

export function parseOptions(argv: readonly string[]): SimOptions {
  const { values, positionals } = parse(argv)
  const hours = values.hours === undefined ? undefined : positive(values.hours, 'hours')
  const everyS = positive(values.every, 'every')
  const names = values.faults?.split(',').filter((name) => name !== '')
  const unknown = names?.find((name) => !isFamily(name))
  if (unknown !== undefined)
    throw new UsageError(
      `there is no kind of fault ${unknown}; there are ${faultFamilies.join(', ')}`,
    )
  const [verb, ...rest] = positionals
  return {
    verb,
    names: rest,
    seed: wholeNumber(values.seed, { name: 'seed', min: 0, max: 2 ** 32 - 1 }),
    count: wholeNumber(values.count, { name: 'count', min: 1, max: 1_000_000 }),
    jobs: wholeNumber(values.jobs, { name: 'jobs', min: 1, max: 64 }),
    shape: {
      hosts: wholeNumber(values.hosts, { name: 'hosts', min: 1, max: 1_000 }),
      steps:
        hours === undefined
          ? wholeNumber(values.steps, { name: 'steps', min: 1, max: 100_000 })
          : Math.ceil((hours * 3_600) / everyS),
      gapMs: hours === undefined ? STEPS_GAP_MS : (everyS * 1_000) / MEAN_GAP_FACTOR,
      faults: names?.filter(isFamily) ?? faultFamilies,
    },
    shapeWords: (['hosts', 'steps', 'hours', 'every', 'faults'] as const).flatMap((name) => {
      const value = values[name]
      return value === undefined || !argv.some((word) => word.startsWith(`--${name}`))
        ? []
        : [`--${name}`, value]
    }),
    mutation: values.mutation,
    shrinks: values.shrink,
    traceFile: values.trace,
    inventory: values.inventory,
    rack: values.rack,
    zone: values.zone,
    host: values.host,
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        seed: { type: 'string', default: '1' },
        count: { type: 'string', default: '10' },
        steps: { type: 'string', default: '60' },
        hosts: { type: 'string', default: '4' },
        jobs: { type: 'string', default: '1' },
        hours: { type: 'string' },
        every: { type: 'string', default: '60' },
        faults: { type: 'string' },
        mutation: { type: 'string' },
        shrink: { type: 'boolean', default: false },
        trace: { type: 'string' },
        inventory: { type: 'string' },
        rack: { type: 'string' },
        zone: { type: 'string' },
        host: { type: 'string', multiple: true, default: [] },
      },
    })
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause))
  }
}

function isFamily(name: string): name is FaultFamily {
  return faultFamilies.some((family) => family === name)
}

export function wholeNumber(
  text: string | undefined,
  limits: { name: string; min: number; max: number },
): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= limits.min && value <= limits.max) return value
  throw new UsageError(
    `--${limits.name}: ${text} is not a whole number from ${limits.min} to ${limits.max}`,
  )
}

function positive(text: string, name: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new UsageError(`--${name}: ${text} is not a number above 0`)
}
