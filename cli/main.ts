/** The command line client; started by the launcher `nubo`, which hands over all verbs that are not the machine's. */
import { randomBytes } from 'node:crypto'
import { homedir } from 'node:os'
import { runCommand } from './run.ts'
import type { Surroundings } from './surroundings.ts'

const surroundings: Surroundings = {
  argv: process.argv.slice(2),
  env: process.env,
  homeFolder: homedir(),
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  stderr: process.stderr,
  clock: {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after: (delayMs, fire) => {
      const timer = setTimeout(fire, Math.max(0, delayMs))
      return { cancel: () => clearTimeout(timer) }
    },
  },
  random: {
    bytes: (count) => randomBytes(count),
    fraction: () => randomBytes(4).readUInt32BE() / 2 ** 32,
  },
  onSignal: (signal, fire) => {
    process.on(signal, fire)
    return () => void process.off(signal, fire)
  },
  onResize: (fire) => {
    process.stdout.on('resize', fire)
    return () => void process.stdout.off('resize', fire)
  },
}

// `nubo set ls | head` closes the pipe early; that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})
process.stderr.on('error', () => process.exit(1))

const code = await runCommand(surroundings)
// Kept-alive connections and an open terminal would hold the process; what was printed must be out before it ends.
await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
process.exit(code)
