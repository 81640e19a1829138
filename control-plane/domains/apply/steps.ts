import type { ManifestKind, Reason } from '@nubo/contracts'

/** The kind of its operations. */
export const APPLY = 'apply'

/**
 * The steps of an apply and the rules by which they follow each other. Pure.
 */
export interface PlannedStep {
  readonly action: 'create' | 'update' | 'remove' | 'adopt'
  readonly kind: ManifestKind
  /** Of a subnet 'network/subnet', since its name is unique only there. */
  readonly name: string
  /** Numbers (places in the list) of the steps that must be done before. */
  readonly needs: readonly number[]
  /** Waits until everything that is not a removal of this sort has been done. */
  readonly isPrune: boolean
  readonly body: StepBody
}

/** What is asked for (as the API takes it) and of what it was seen before; `run-step.ts` reads it again by its schema. */
export type StepBody = Readonly<Record<string, unknown>>

export interface StepState {
  readonly number: number
  readonly kind: ManifestKind
  readonly name: string
  readonly needs: readonly number[]
  readonly isPrune: boolean
  readonly state: 'pending' | 'running' | 'done' | 'failed'
  readonly reason: Reason | null
}

/** A step that can never begin: something that it needs failed or can itself never begin. */
export function skippedSteps(steps: readonly StepState[]): ReadonlySet<number> {
  const skipped = new Set<number>()
  const isLost = (number: number): boolean =>
    skipped.has(number) || steps[number]?.state === 'failed'
  // Needs point backwards, so one look in order finds all.
  for (const step of steps)
    if (step.state === 'pending' && step.needs.some(isLost)) skipped.add(step.number)
  const isIncomplete = steps.some((step) => !step.isPrune && isLost(step.number))
  if (isIncomplete)
    for (const step of steps) if (step.isPrune && step.state === 'pending') skipped.add(step.number)
  return skipped
}

/** Steps that may begin now, in order; at most `max` are under way at once. */
export function readySteps(steps: readonly StepState[], max: number): readonly StepState[] {
  const skipped = skippedSteps(steps)
  const isPruneTime = steps.every(({ isPrune, state }) => isPrune || state === 'done')
  const running = steps.filter(({ state }) => state === 'running').length
  return steps
    .filter(
      (step) =>
        step.state === 'pending' &&
        !skipped.has(step.number) &&
        step.needs.every((number) => steps[number]?.state === 'done') &&
        (!step.isPrune || isPruneTime),
    )
    .slice(0, Math.max(0, max - running))
}

export type Standing =
  | { readonly at: 'going' }
  | { readonly at: 'done'; readonly progress: string }
  | { readonly at: 'failed'; readonly progress: string; readonly reason: Reason }

const NAMES_SHOWN_MAX = 10
const REASON_CHARACTERS_MAX = 1_900

export function standingOf(steps: readonly StepState[]): Standing {
  const skipped = skippedSteps(steps)
  const isOver = steps.every(
    ({ state, number }) => state === 'done' || state === 'failed' || skipped.has(number),
  )
  if (!isOver) return { at: 'going' }
  const progress = progressOf(steps)
  const reason = failureOf(steps)
  return reason === null ? { at: 'done', progress } : { at: 'failed', progress, reason }
}

/** '3 of 5 done' and what is under way. */
export function progressOf(steps: readonly StepState[]): string {
  const done = steps.filter(({ state }) => state === 'done').length
  const running = steps.filter(({ state }) => state === 'running').map(titleOf)
  const doing = running.length === 0 ? '' : `; waits for ${listed(running)}`
  return `${done} of ${steps.length} done${doing}`
}

/** What was done, what failed and why, what was not tried; null if nothing failed. */
function failureOf(steps: readonly StepState[]): Reason | null {
  const failed = steps.filter(({ state }) => state === 'failed')
  const [first] = failed
  if (first === undefined) return null
  const untried = steps.filter(({ state }) => state === 'pending').map(titleOf)
  const parts = [
    `${steps.filter(({ state }) => state === 'done').length} of ${steps.length} done`,
    ...failed
      .slice(0, NAMES_SHOWN_MAX)
      .map((step) => `${titleOf(step)}: ${step.reason?.text ?? 'failed'}`),
    ...(failed.length > NAMES_SHOWN_MAX ? [`${failed.length - NAMES_SHOWN_MAX} more failed`] : []),
    ...(untried.length === 0 ? [] : [`not tried: ${listed(untried)}`]),
  ]
  // Only if nothing but room is missing is it "not placed".
  const other = failed.find(({ reason }) => reason?.code !== 'NOT_PLACED')
  return {
    code: (other ?? first).reason?.code ?? 'INTERNAL',
    text: parts.join('; ').slice(0, REASON_CHARACTERS_MAX),
  }
}

export function titleOf({ kind, name }: { kind: ManifestKind; name: string }): string {
  return `${kind} ${name}`
}

function listed(names: readonly string[]): string {
  const rest = names.length - NAMES_SHOWN_MAX
  return `${names.slice(0, NAMES_SHOWN_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
}

/** Names in an order in which each comes after those it is `after`; or a way round that has no beginning. */
export function orderByAfter(
  sets: readonly { readonly name: string; readonly after: readonly string[] }[],
): { readonly order: readonly string[] } | { readonly cycle: readonly string[] } {
  const byName = new Map(sets.map((set) => [set.name, set]))
  const order: string[] = []
  const placed = new Set<string>()
  for (const start of byName.keys()) {
    // An own stack: a chain may be as long as the manifest.
    const path: { name: string; left: string[] }[] = []
    const enter = (name: string): void => {
      path.push({ name, left: [...(byName.get(name)?.after ?? [])] })
    }
    if (!placed.has(start)) enter(start)
    for (let at = path.at(-1); at !== undefined; at = path.at(-1)) {
      const next = at.left.shift()
      if (next === undefined) {
        placed.add(at.name)
        order.push(at.name)
        path.pop()
        continue
      }
      if (placed.has(next) || !byName.has(next)) continue
      const from = path.findIndex(({ name }) => name === next)
      if (from >= 0) return { cycle: [...path.slice(from).map(({ name }) => name), next] }
      enter(next)
    }
  }
  return { order }
}
