import type { SourceFile } from './source-file.ts'
import type { Tree } from './tree.ts'

export interface Fault {
  readonly path: string
  readonly line: number
  /** What is wrong and what to do instead. */
  readonly text: string
  /** Of what is too long: its lines. */
  readonly lines?: number
}

export interface Violation extends Fault {
  readonly rule: string
}

export interface Rule {
  readonly name: string
  check(tree: Tree): readonly Fault[]
}

/** A rule that looks at one file at a time. */
export function fileRule(
  name: string,
  check: (file: SourceFile, tree: Tree) => readonly Omit<Fault, 'path'>[],
): Rule {
  return {
    name,
    check: (tree) =>
      tree.files.flatMap((file) =>
        check(file, tree).map((fault) => ({ ...fault, path: file.path })),
      ),
  }
}
