/** Logs of supervised programs: appended by them, kept within bounds by us. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { join } from 'node:path'

// So much is kept of each program, in the file and in the one before.
const LOG_BYTES_MAX = 16 * 2 ** 20
const TAIL_BYTES = 4_096
const LAST_LINES = 3

/** Before a start: moves a long log aside. */
export function rotateLog(path: string): void {
  if (existsSync(path) && statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`)
}

/**
 * While programs run: empties logs that became too long, keeping a copy. Programs write by appending, so they go on
 * at the start; lines written between the copy and the emptying are lost.
 */
export function truncateLogs(folder: string): void {
  for (const name of readdirSync(folder).filter((entry) => entry.endsWith('.log'))) {
    const path = join(folder, name)
    if (statSync(path).size <= LOG_BYTES_MAX) continue
    copyFileSync(path, `${path}.1`)
    truncateSync(path)
  }
}

/** The last lines of a log in one line, for the reason of a failure. */
export function lastLines(path: string): string {
  if (!existsSync(path)) return ''
  const { size } = statSync(path)
  const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES))
  const file = openSync(path, 'r')
  try {
    readSync(file, bytes, 0, bytes.length, size - bytes.length)
  } finally {
    closeSync(file)
  }
  return bytes.toString('utf8').trim().split('\n').slice(-LAST_LINES).join(' | ')
}
