import type { Violation } from './violation.ts'

/**
 * Violations that stand for a stated reason. THIS LIST MAY ONLY SHRINK: a number here that is larger than what is found
 * fails the test as well, so whoever mends something also takes it off the list.
 */
export interface Exception {
  readonly rule: string
  readonly path: string
  readonly count: number
  /** Of what is too long: how long it may be until it is cut. */
  readonly linesMax?: number
  readonly reason: string
}

export const exceptions: readonly Exception[] = [
  {
    rule: 'shell-string',
    path: 'runtime/process/programs.ts',
    count: 1,
    reason:
      'a fixed script enters the cgroups before exec; it is a constant and reads its arguments as argv',
  },
  {
    rule: 'injected',
    path: 'control-plane/adapters/key-file.ts',
    count: 1,
    reason:
      'the sealing key is made once by `prepare`, must not be repeatable, and is no part of a simulation',
  },
  {
    rule: 'adapters',
    path: 'control-plane/bootstrap.ts',
    count: 1,
    reason: 'the operator token is written by the same rules as keys; called by main.ts alone',
  },
  {
    rule: 'sql-in-store',
    path: 'control-plane/bootstrap.ts',
    count: 5,
    reason: 'makes the first rows of several domains in one transaction, before any service exists',
  },
  {
    rule: 'sql-in-store',
    path: 'control-plane/domains/fleet/secrets.ts',
    count: 4,
    reason: 'is the store of the table `secret`, sealing included; nothing else touches the table',
  },
  {
    rule: 'sql-in-store',
    path: 'control-plane/host-sessions/image-tokens.ts',
    count: 1,
    reason: 'reads the newest revision; to become a function of world/',
  },
  {
    rule: 'sql-in-store',
    path: 'control-plane/host-sessions/host-commands.ts',
    count: 1,
    reason: 'sends a notification through the database and touches no table',
  },
]

/** What no exception covers, and exceptions that cover more than there is. */
export function withoutExceptions(
  found: readonly Violation[],
  allowed: readonly Exception[],
): { violations: readonly Violation[]; stale: readonly string[] } {
  const covers = (exception: Exception, one: Violation): boolean =>
    exception.rule === one.rule &&
    exception.path === one.path &&
    (one.lines ?? 0) <= (exception.linesMax ?? 0)
  const stale: string[] = []
  const covered = new Set<Violation>()
  for (const exception of allowed) {
    const fitting = found.filter((one) => covers(exception, one))
    for (const one of fitting.slice(0, exception.count)) covered.add(one)
    if (fitting.length < exception.count)
      stale.push(`${exception.rule} ${exception.path}: lower the number or remove the exception`)
  }
  return { violations: found.filter((one) => !covered.has(one)), stale }
}
