import type { FaultFamily } from '../plan.ts'

export interface Edit {
  /** Path from the top of the checkout. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly before: string
  readonly after: string
}

/** A bug planted on purpose: texts of the product, and what stands there instead. */
export interface Mutation {
  readonly name: string
  /** What the bug is, in one sentence. */
  readonly bug: string
  readonly edits: readonly Edit[]
  /** So many seeds find it at the latest; docs/guides/simulator.md says how many it took. */
  readonly seedsMax: number
  /** Kinds of faults that it takes, where only a rare meeting of two shows it; all if absent. */
  readonly faults?: readonly FaultFamily[]
}

/** The text with the bug in it. Throws if the place is not there any more, or not alone. */
export function plant(edits: readonly Edit[], text: string): string {
  return edits.reduce((before, edit) => {
    const parts = before.split(edit.before)
    if (parts.length !== 2)
      throw new Error(
        `${edit.file} has a text of a planted bug ${parts.length - 1} times, not once: ${edit.before}`,
      )
    return parts.join(edit.after)
  }, text)
}
