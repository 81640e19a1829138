import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const LINE_TIMEOUT_MS = 20_000
const LINES_MAX = 1_000

/** A program in a network namespace, whose lines can be waited for. */
export interface ProgramInNamespace {
  /** Resolves with the next line that fits; lines are taken in order. Throws with all that it said when none comes in time. */
  readonly nextLine: (pattern: RegExp) => Promise<string>
  readonly signal: (name: NodeJS.Signals) => void
  /** Ends it and waits for its end. Idempotent. */
  readonly stop: () => Promise<void>
}

export function startInNamespace(namespace: string, argv: readonly string[]): ProgramInNamespace {
  const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  // A test file that ends early must leave no program behind.
  process.once('exit', kill)
  const lines: string[] = []
  const complaints: string[] = []
  let isOver = false
  let taken = 0
  let wake = Promise.withResolvers<void>()
  createInterface(child.stdout).on('line', (line) => {
    if (lines.length < LINES_MAX) lines.push(line)
    wake.resolve()
  })
  createInterface(child.stderr).on('line', (line) => {
    if (complaints.length < LINES_MAX) complaints.push(line)
  })
  // Not 'exit': by then not every line has been read.
  const end = once(child, 'close').then(() => {
    isOver = true
    wake.resolve()
  })
  const nextLine = async (pattern: RegExp): Promise<string> => {
    let isLate = false
    const deadline = setTimeout(() => {
      isLate = true
      wake.resolve()
    }, LINE_TIMEOUT_MS)
    try {
      for (;;) {
        const wasLast = isOver || isLate
        while (taken < lines.length) {
          const line = lines[taken++] ?? ''
          if (pattern.test(line)) return line
        }
        if (wasLast) {
          const said = [...lines, ...complaints].join('\n')
          throw new Error(`${argv.join(' ')}: no line ${pattern} in:\n${said}`)
        }
        wake = Promise.withResolvers<void>()
        await wake.promise
      }
    } finally {
      clearTimeout(deadline)
    }
  }
  return {
    nextLine,
    signal: (name) => void child.kill(name),
    async stop() {
      process.off('exit', kill)
      child.kill('SIGKILL')
      await end
    },
  }
}
