import type { Outcome } from './scenario.ts'
import type { Plan, Step } from './plan.ts'

/**
 * The shortest plan found that breaks the same promise: parts are left out for as long as it still does (delta debugging,
 * Zeller 1999). Steps keep their times, so leaving one out does not move the others. At most `runsMax` runs.
 */
export async function shrink(
  plan: Plan,
  kind: string,
  options: { run: (plan: Plan) => Promise<Outcome>; runsMax: number },
): Promise<{ plan: Plan; outcome: Outcome | undefined; runs: number }> {
  let steps: readonly Step[] = plan.steps
  let best: Outcome | undefined
  let runs = 0
  const fails = async (candidate: readonly Step[]): Promise<boolean> => {
    runs += 1
    const outcome = await options.run({ ...plan, steps: candidate })
    if (outcome.violation?.kind !== kind) return false
    best = outcome
    return true
  }
  // What comes after the violation has no part in it: halve the end away first.
  for (let parts = 2; steps.length > 1 && runs < options.runsMax;) {
    const size = Math.ceil(steps.length / parts)
    let isShorter = false
    for (let end = steps.length; end > 0 && runs < options.runsMax; end -= size) {
      const candidate = [...steps.slice(0, Math.max(0, end - size)), ...steps.slice(end)]
      if (candidate.length === steps.length || !(await fails(candidate))) continue
      steps = candidate
      isShorter = true
    }
    if (isShorter) parts = Math.max(2, Math.min(parts, steps.length))
    else if (size === 1) break
    else parts = Math.min(steps.length, parts * 2)
  }
  return { plan: { ...plan, steps }, outcome: best, runs }
}
