/** Which test file belongs to which suite. The name of a file decides, so that nobody keeps a list. */

/** In the order in which they run, but for `longWaits`: what is quick and says most comes first. */
export const suiteNames = [
  'types',
  'lint',
  'unused',
  'architecture',
  'unit',
  'store',
  'integration',
  'simulation',
  'upgrade',
  'system',
  'browser',
] as const
export type SuiteName = (typeof suiteNames)[number]

export function isSuiteName(text: string): text is SuiteName {
  return suiteNames.some((suite) => suite === text)
}

// The first rule that fits decides. A folder of tests/ that no rule names holds unit tests of test code.
const rules: readonly (readonly [RegExp, SuiteName])[] = [
  [/^tools\/checks\/types\.test\.ts$/, 'types'],
  [/^tools\/checks\/lint\.test\.ts$/, 'lint'],
  [/^tools\/checks\/unused\.test\.ts$/, 'unused'],
  [/\.system\.test\.ts$/, 'system'],
  [/\.store\.test\.ts$/, 'store'],
  [/^tests\/architecture\//, 'architecture'],
  [/^tests\/integration\//, 'integration'],
  [/^tests\/simulation\//, 'simulation'],
  [/^tests\/upgrade\//, 'upgrade'],
  [/^tests\/system\//, 'system'],
  [/^tests\/browser\//, 'browser'],
  [/\.test\.ts$/, 'unit'],
]

/** The suite of a test file, by its path from the top of the checkout. Undefined if it is not a test file. */
export function suiteOf(path: string): SuiteName | undefined {
  if (!path.endsWith('.test.ts')) return undefined
  return rules.find(([pattern]) => pattern.test(path))?.[1]
}

/**
 * Files that take minutes, nearly all of them waiting for leases and deadlines to end. Begun last, everybody would wait for
 * them with idle processors; they begin before the first suite that computes for long, which fills their waits.
 */
const longWaits: ReadonlySet<string> = new Set(['tests/system/cloud.test.ts'])

const rankOf = ({ path, suite }: TestFile): number =>
  longWaits.has(path) ? suiteNames.indexOf('store') - 0.5 : suiteNames.indexOf(suite)

export interface TestFile {
  path: string
  suite: SuiteName
}

/** The files of the wanted suites (none named: all) below the wanted paths (none named: all), in running order. */
export function selectTests(
  paths: readonly string[],
  wanted: { suites: readonly SuiteName[]; below: readonly string[] },
): TestFile[] {
  const files: TestFile[] = []
  for (const path of [...paths].sort()) {
    const suite = suiteOf(path)
    if (suite === undefined) continue
    if (wanted.suites.length > 0 && !wanted.suites.includes(suite)) continue
    if (wanted.below.length > 0 && !wanted.below.some((start) => isBelow(path, start))) continue
    files.push({ path, suite })
  }
  return files.sort((a, b) => rankOf(a) - rankOf(b))
}

function isBelow(path: string, start: string): boolean {
  return path === start || path.startsWith(start.endsWith('/') ? start : `${start}/`)
}
