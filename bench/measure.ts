/** Interleaved rounds, medians, and how a result is told: a table for people, a JSON line for programs. */

/** Fewer rounds than this say more about the minute than about the program. */
export const ROUNDS_MIN = 5

/** Of sorted or unsorted values; between two neighbours where the place falls between them. NaN for none. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const place = (sorted.length - 1) * fraction
  const low = sorted[Math.floor(place)] ?? Number.NaN
  const high = sorted[Math.ceil(place)] ?? Number.NaN
  return low + (high - low) * (place - Math.floor(place))
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The median of what each round's two neighbours in time say; other load on the machine hits both alike. */
export function medianRatio(values: readonly number[], peers: readonly number[]): number {
  if (values.length !== peers.length) throw new RangeError('a ratio needs pairs')
  return median(values.map((value, round) => value / (peers[round] ?? Number.NaN)))
}

/** One way to do the work; returns its number. */
export type Contender = () => Promise<number>

/**
 * Lets all contenders run once per round, and each be first in turn, so that none always has the warmer machine.
 * Returns the numbers of each by round. One unmeasured round goes before, unless `isWarm`.
 */
export async function interleave<Name extends string>(
  contenders: Readonly<Record<Name, Contender>>,
  options: { readonly rounds: number; readonly isWarm?: boolean },
): Promise<Record<Name, number[]>> {
  if (options.rounds < ROUNDS_MIN) throw new RangeError(`at least ${ROUNDS_MIN} rounds`)
  const names = Object.keys(contenders) as Name[] // proof: the keys of the record are Name
  const found = Object.fromEntries(names.map((name): [Name, number[]] => [name, []])) as Record<
    Name,
    number[]
  > // proof: one entry per Name
  for (let round = options.isWarm === true ? 0 : -1; round < options.rounds; round += 1) {
    for (let place = 0; place < names.length; place += 1) {
      const name = names[(place + Math.max(0, round)) % names.length]
      if (name === undefined) continue
      const value = await contenders[name]()
      if (round >= 0) found[name].push(value)
    }
  }
  return found
}

/** One promised number. */
export interface Verdict {
  /** What was measured, as it stands in docs/promises.md. */
  readonly what: string
  readonly unit: 'ms' | 's' | '/s' | '×' | 'Gb/s' | '% of a core' | 'MB' | 'operations'
  readonly value: number
  /** Undefined for numbers that nothing is promised of: peers, floors, parts. */
  readonly goal?: { readonly atMost: number } | { readonly atLeast: number }
  /** How the single rounds came out, oldest first. */
  readonly rounds?: readonly number[]
}

export function isKept({ value, goal }: Verdict): boolean {
  if (Number.isNaN(value)) return false
  if (goal === undefined) return true
  return 'atMost' in goal ? value <= goal.atMost : value >= goal.atLeast
}

/** A number with three digits that count. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

/** A table that ends with how the promises stand. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => {
    const { what, unit, value, goal, rounds } = verdict
    const wanted =
      goal === undefined ? '' : 'atMost' in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`
    const kept = goal === undefined ? '' : isKept(verdict) ? 'kept' : 'MISSED'
    const spread =
      rounds === undefined
        ? ''
        : `${formatNumber(Math.min(...rounds))} – ${formatNumber(Math.max(...rounds))} (${rounds.length})`
    return [what, formatNumber(value), unit, wanted, kept, spread]
  })
  const all = [['WHAT', 'MEDIAN', 'UNIT', 'GOAL', '', 'MIN – MAX (ROUNDS)'], ...rows]
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...all.map((row) => row[column]?.length ?? 0)),
  )
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `  ${line}\n`)
    .join('')
}

/** One line of JSON per number. */
export function verdictLines(bench: string, atIso: string, verdicts: readonly Verdict[]): string {
  return verdicts
    .map((verdict) => {
      const isGoal = verdict.goal !== undefined
      return `${JSON.stringify({ bench, at: atIso, ...verdict, ...(isGoal ? { kept: isKept(verdict) } : {}) })}\n`
    })
    .join('')
}
