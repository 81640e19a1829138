import { globSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Top folder of this checkout. */
export const top = dirname(import.meta.dirname)

/** Every TypeScript file of the checkout, by its path from the top; dependencies and planted violations excepted. */
export function sourceFiles(): string[] {
  return globSync('**/*.ts', {
    cwd: top,
    exclude: (path) => /(^|\/)(node_modules|\.git|\.cache|planted)$/.test(path),
  })
}

/** Path of a program that the lock file pins. */
export function toolPath(name: string): string {
  return join(top, 'node_modules', '.bin', name)
}
