import { styleText } from 'node:util'
import type { TerminalOutput } from '../surroundings.ts'

const colours: Record<string, 'green' | 'yellow' | 'red' | 'dim'> = {
  running: 'green',
  ready: 'green',
  done: 'green',
  healthy: 'green',
  pending: 'yellow',
  starting: 'yellow',
  stopping: 'yellow',
  removing: 'yellow',
  waiting: 'yellow',
  backoff: 'yellow',
  degraded: 'yellow',
  invited: 'yellow',
  joining: 'yellow',
  failed: 'red',
  unknown: 'red',
  unreachable: 'red',
  unhealthy: 'red',
  stopped: 'dim',
  cancelled: 'dim',
  superseded: 'dim',
}

/** A state in its colour, where `stream` is a terminal that takes colours. */
export function paintState(state: string, stream: TerminalOutput): string {
  const colour = colours[state]
  return colour === undefined ? state : styleText(colour, state, { stream })
}
