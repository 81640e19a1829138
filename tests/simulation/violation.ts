const TEXT_MAX = 2_000

/** A promise that was broken. `kind` says which, so that a shorter history can be held to show the same. */
export class Violation extends Error {
  readonly kind: string

  constructor(kind: string, text: string) {
    super(`${kind}: ${text.slice(0, TEXT_MAX)}`)
    this.kind = kind
  }
}

export function claim(holds: boolean, kind: string, text: () => string): void {
  if (!holds) throw new Violation(kind, text())
}

/** What the product threw where it should not have is a broken promise too. */
export function violationOf(error: unknown): Violation {
  if (error instanceof Violation) return error
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const violation = new Violation('defect', text)
  violation.cause = error
  return violation
}
