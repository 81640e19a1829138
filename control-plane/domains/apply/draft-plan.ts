import { createHash } from 'node:crypto'
import { isPlatformError } from '@nubo/base'
import type { FieldChange, ManifestKind, PlannedChange, PlanProblem } from '@nubo/contracts'
import type { PlannedStep, StepBody } from './steps.ts'

/** What of an existing thing must still be so when its step is admitted. */
export interface SeenSet {
  readonly id: string
  readonly generation: number
}

type Thing = { readonly kind: ManifestKind; readonly name: string }

/** A plan while it is made: changes for people, steps for the machine, and what both were concluded from. */
export class DraftPlan {
  readonly changes: PlannedChange[] = []
  readonly problems: PlanProblem[] = []
  readonly steps: PlannedStep[] = []
  readonly warnings: string[] = []
  readonly seenSets: SeenSet[] = []
  unchanged = 0
  readonly #seen: unknown[] = []
  /** The step after which a thing is there as described. */
  readonly #providers = new Map<string, number>()
  readonly #removers = new Map<string, number>()

  /** What the plan was concluded from; a thing that is not there is seen as null. */
  see(thing: Thing, state: readonly unknown[] | null): void {
    this.#seen.push([thing.kind, thing.name, state])
  }

  get digest(): string {
    return createHash('sha256').update(JSON.stringify(this.#seen)).digest('hex')
  }

  change(change: Thing & Pick<PlannedChange, 'action'> & Partial<PlannedChange>): void {
    this.changes.push({ id: null, fields: [], why: null, notes: [], ...change })
  }

  problem(at: Thing, problem: Omit<PlanProblem, 'kind' | 'name'>): void {
    this.problems.push({ kind: at.kind, name: at.name, ...problem })
  }

  /** Runs a check that may refuse; a refusal becomes a problem. Returns its value, or undefined. */
  attempt<Value>(at: Thing, field: string, check: () => Value): Value | undefined {
    try {
      return check()
    } catch (error) {
      if (!isPlatformError(error)) throw error
      const { field: named, next } = error.details
      this.problem(at, {
        code: error.code,
        field: typeof named === 'string' ? named : field,
        text: error.message,
        next: typeof next === 'string' ? next : '',
      })
      return undefined
    }
  }

  /** The problem of a field that cannot be changed. */
  fixedField(at: Thing, change: FieldChange, next: string): void {
    const { path, before, after, why } = change
    this.problem(at, {
      code: 'FIELD_IMMUTABLE',
      field: path,
      text: `${path} cannot be changed in place from ${shown(before)} to ${shown(after)}: ${why}`,
      next,
    })
  }

  step(
    thing: Thing & Pick<PlannedStep, 'action'>,
    more: { needs?: readonly Thing[]; isPrune?: boolean; body: StepBody },
  ): void {
    const number = this.steps.length
    const { action, kind, name } = thing
    const needs = (more.needs ?? []).flatMap((one) => this.#providers.get(key(one)) ?? [])
    const remover = action === 'create' ? this.#removers.get(key(thing)) : undefined
    if (remover !== undefined) needs.push(remover)
    this.steps.push({
      action,
      kind,
      name,
      needs: [...new Set(needs)],
      isPrune: more.isPrune ?? false,
      body: more.body,
    })
    if (action === 'remove') this.#removers.set(key(thing), number)
    else this.#providers.set(key(thing), number)
  }

  /** Removals of what the manifest no longer names go the other way round: what uses a thing goes before it. */
  prune(thing: Thing, more: { after: readonly Thing[]; body: StepBody }): void {
    const needs = more.after.flatMap((one) => this.#removers.get(key(one)) ?? [])
    this.#removers.set(key(thing), this.steps.length)
    const { kind, name } = thing
    const { body } = more
    this.steps.push({ action: 'remove', kind, name, needs, isPrune: true, body })
  }
}

function key({ kind, name }: Thing): string {
  return `${kind} ${name}`
}

function shown(value: unknown): string {
  return value === null ? 'none' : typeof value === 'string' ? value : JSON.stringify(value)
}
