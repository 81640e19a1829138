import type { z } from 'zod'
import * as firstCalls from './v1/calls.ts'
import * as first from './v1/messages.ts'
import * as latestCalls from './v2/calls.ts'
import * as toSecond from './v2/convert.ts'
import * as second from './v2/messages.ts'
import * as toThird from './v3/convert.ts'
import * as latest from './v3/messages.ts'
import type { HostContract } from './versions.ts'

/** A message of the newest shape, or what zod found wrong with it in the version of the connection. */
export type HostParsed<Message> =
  | { readonly success: true; readonly data: Message }
  | { readonly success: false; readonly error: z.ZodError }

/**
 * How one connection's messages are read and written; in code they have the newest shape. `encode…` gives undefined where
 * the version of the connection has no word for the message: then it is not sent.
 */
export interface HostCodec {
  readonly contract: HostContract
  readonly parseAgentMessage: (json: unknown) => HostParsed<latest.AgentMessage>
  readonly parseServerMessage: (json: unknown) => HostParsed<latest.ServerMessage>
  readonly encodeAgentMessage: (message: latest.AgentMessage) => string | undefined
  readonly encodeServerMessage: (message: latest.ServerMessage) => string | undefined
  /** First message of a stream; the version is that of the stream's own path. */
  readonly parseStreamRequest: (json: unknown) => HostParsed<latestCalls.StreamRequest>
  readonly encodeStreamRequest: (request: latestCalls.StreamRequest) => string
}

const codecs: Readonly<Record<HostContract, HostCodec>> = {
  1: {
    contract: 1,
    parseAgentMessage: (json) =>
      converted(first.agentMessage.safeParse(json), (message) =>
        toThird.agentMessageFromPrevious(toSecond.agentMessageFromPrevious(message)),
      ),
    parseServerMessage: (json) =>
      converted(first.serverMessage.safeParse(json), (message) =>
        toThird.serverMessageFromPrevious(toSecond.serverMessageFromPrevious(message)),
      ),
    encodeAgentMessage: (message) =>
      encoded(toSecond.agentMessageToPrevious(toThird.agentMessageToPrevious(message))),
    encodeServerMessage: (message) =>
      encoded(toSecond.serverMessageToPrevious(toThird.serverMessageToPrevious(message))),
    parseStreamRequest: (json) =>
      converted(firstCalls.streamRequest.safeParse(json), toSecond.streamRequestFromPrevious),
    encodeStreamRequest: (request) => JSON.stringify(toSecond.streamRequestToPrevious(request)),
  },
  2: {
    contract: 2,
    parseAgentMessage: (json) =>
      converted(second.agentMessage.safeParse(json), toThird.agentMessageFromPrevious),
    parseServerMessage: (json) =>
      converted(second.serverMessage.safeParse(json), toThird.serverMessageFromPrevious),
    encodeAgentMessage: (message) => encoded(toThird.agentMessageToPrevious(message)),
    encodeServerMessage: (message) => encoded(toThird.serverMessageToPrevious(message)),
    parseStreamRequest: (json) => latestCalls.streamRequest.safeParse(json),
    encodeStreamRequest: (request) => JSON.stringify(request),
  },
  3: {
    contract: 3,
    parseAgentMessage: (json) => latest.agentMessage.safeParse(json),
    parseServerMessage: (json) => latest.serverMessage.safeParse(json),
    encodeAgentMessage: encoded,
    encodeServerMessage: encoded,
    parseStreamRequest: (json) => latestCalls.streamRequest.safeParse(json),
    encodeStreamRequest: (request) => JSON.stringify(request),
  },
}

export function hostCodec(contract: HostContract): HostCodec {
  return codecs[contract]
}

function converted<From, To>(
  parsed: z.ZodSafeParseResult<From>,
  convert: (message: From) => To,
): HostParsed<To> {
  return parsed.success ? { success: true, data: convert(parsed.data) } : parsed
}

function encoded(message: object | undefined): string | undefined {
  return message === undefined ? undefined : JSON.stringify(message)
}
