import type { OutputChunk } from '../set-driver.ts'

/** What a container's program does in the fake. */
export type FakeProgram =
  | { readonly does: 'run'; readonly prints: readonly OutputChunk[] }
  | { readonly does: 'exit'; readonly exitCode: number; readonly prints: readonly OutputChunk[] }
  /** It cannot be started at all. */
  | { readonly does: 'refuse'; readonly reason: string }

/** What a program started by `exec` does in the fake. */
export type FakeExecution =
  | { readonly does: 'end'; readonly exitCode: number; readonly prints: Iterable<OutputChunk> }
  /** Writes back what it reads, and ends with its input. */
  | { readonly does: 'echo-input' }
  /** Runs until a signal or a close ends it. */
  | { readonly does: 'hang' }

/**
 * The fake's own commands for containers: `print TEXT…` writes lines and runs on, `exit CODE`, `refuse`.
 * Anything else, and no command at all, runs.
 */
export function defaultProgram(command: readonly string[] | undefined): FakeProgram {
  const [verb, ...args] = command ?? []
  switch (verb) {
    case 'print':
      return { does: 'run', prints: args.map((text) => line('stdout', text)) }
    case 'exit':
      return { does: 'exit', exitCode: Number(args[0] ?? 0), prints: [] }
    case 'refuse':
      return { does: 'refuse', reason: 'executable file not found' }
    default:
      return { does: 'run', prints: [] }
  }
}

/** And for `exec`: `echo TEXT…`, `fail CODE TEXT…` (to stderr), `cat`, `hang`. Anything else ends well in silence. */
export function defaultExecution(command: readonly string[]): FakeExecution {
  const [verb, ...args] = command
  switch (verb) {
    case 'echo':
      return { does: 'end', exitCode: 0, prints: [line('stdout', args.join(' '))] }
    case 'fail':
      return {
        does: 'end',
        exitCode: Number(args[0]),
        prints: [line('stderr', args.slice(1).join(' '))],
      }
    case 'cat':
      return { does: 'echo-input' }
    case 'hang':
      return { does: 'hang' }
    default:
      return { does: 'end', exitCode: 0, prints: [] }
  }
}

function line(stream: OutputChunk['stream'], text: string): OutputChunk {
  return { stream, bytes: Buffer.from(`${text}\n`) }
}
