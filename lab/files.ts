import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Replaces a file as a whole: a reader, and a machine that lost power, sees the old text or the new. */
export function writeWhole(path: string, text: string, mode = 0o644): void {
  const fresh = `${path}.new`
  const file = openSync(fresh, 'w', mode)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(fresh, path)
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

export function writeJson(path: string, value: unknown, mode = 0o644): void {
  writeWhole(path, `${JSON.stringify(value, null, 2)}\n`, mode)
}

/** The text of a file, or undefined if there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
}
