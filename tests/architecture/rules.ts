import { importRules } from './import-rules.ts'
import { placeRules } from './place-rules.ts'
import { textRules } from './text-rules.ts'
import type { Tree } from './tree.ts'
import type { Rule, Violation } from './violation.ts'

/** Each rule has a name, under which exceptions and planted violations know it. */
export const rules: readonly Rule[] = [...importRules, ...placeRules, ...textRules]

/** Everything in the tree that breaks a rule, in order of path and line. */
export function findViolations(tree: Tree): Violation[] {
  return rules
    .flatMap((rule) => rule.check(tree).map((found) => ({ ...found, rule: rule.name })))
    .toSorted((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1))
}
