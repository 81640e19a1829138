import type { z } from 'zod'
import type * as callsBefore from '../v1/calls.ts'
import * as before from '../v1/messages.ts'
import type { StreamRequest } from './calls.ts'
import type { AgentMessage, Hello, ServerMessage } from './messages.ts'

type HelloBefore = z.infer<typeof before.hello>

/** What an agent of version 1 said: it answers no probes and guarantees nothing. */
export function agentMessageFromPrevious(message: before.AgentMessage): AgentMessage {
  return message.type === 'hello'
    ? { ...message, stopsWithinMs: null, probeAddress: null }
    : message
}

/** For a server of version 1. Undefined: it has no word for this, and is not told. */
export function agentMessageToPrevious(message: AgentMessage): before.AgentMessage | undefined {
  switch (message.type) {
    case 'hello':
      return helloToPrevious(message)
    case 'probe-report':
      return undefined
    case 'heartbeat':
    case 'found':
      return message
  }
}

function helloToPrevious(message: Hello): HelloBefore {
  const { stopsWithinMs: _stopsWithinMs, probeAddress: _probeAddress, ...hello } = message
  return { ...hello, contracts: [1] }
}

/** For an agent of version 1. Undefined: it has no word for this, and is not told. */
export function serverMessageToPrevious(message: ServerMessage): before.ServerMessage | undefined {
  switch (message.type) {
    case 'welcome': {
      const { probeKey: _probeKey, ...welcome } = message
      return welcome
    }
    case 'probe':
      return undefined
    case 'wanted':
    case 'heartbeat-answer':
    case 'open-stream':
      return message
  }
}

/** What a server of version 1 said: it asks for no probes. */
export function serverMessageFromPrevious(message: before.ServerMessage): ServerMessage {
  return message.type === 'welcome' ? { ...message, probeKey: null } : message
}

/** What a server of version 1 asked: it knows no positions. */
export function streamRequestFromPrevious(request: callsBefore.StreamRequest): StreamRequest {
  return request.type === 'logs' ? { ...request, positions: false, after: null } : request
}

/**
 * For a host of version 1, which gives no positions. Where a log is to be continued there nevertheless (a newer host gave
 * the position, and was set back or lost the set), it begins with the millisecond of the earliest one: some lines may
 * come again, none is left out.
 */
export function streamRequestToPrevious(request: StreamRequest): callsBefore.StreamRequest {
  if (request.type !== 'logs') return request
  const { positions: _positions, after, ...logs } = request
  const times = Object.values(after ?? {}).map(({ atNs }) => Math.floor(Number(atNs) / 1e6))
  return times.length === 0 ? logs : { ...logs, sinceMs: Math.min(...times), tail: null }
}
