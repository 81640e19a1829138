import type { Readable, Writable } from 'node:stream'
import type { Clock, Random } from '@nubo/base'

export interface TerminalInput extends Readable {
  readonly isTTY?: boolean
  setRawMode?(isRaw: boolean): unknown
}
export interface TerminalOutput extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

export type ForwardedSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGQUIT'

/** Everything that the program gets from its process; only main.ts touches the process itself. */
export interface Surroundings {
  /** Without the program and the script. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly homeFolder: string
  readonly stdin: TerminalInput
  readonly stdout: TerminalOutput
  readonly stderr: TerminalOutput
  readonly clock: Clock
  readonly random: Random
  /** Calls `fire` instead of ending the process, until the returned function is called. */
  onSignal(signal: ForwardedSignal, fire: () => void): () => void
  /** The terminal has another size. */
  onResize(fire: () => void): () => void
}
