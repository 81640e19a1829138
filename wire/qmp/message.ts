import { isUtf8 } from 'node:buffer'

import { QmpError, QmpProtocolError } from './errors.ts'
import { Fields, readObject } from './fields.ts'

/** QEMU's version, as it stands in the greeting and in the answer of `query-version`. */
export interface QmpVersion {
  readonly major: number
  readonly minor: number
  readonly micro: number
  /** What the distribution adds, e.g. `Debian 1:7.2+dfsg-7`; may be empty. */
  readonly package: string
}

export interface QmpGreeting {
  readonly version: QmpVersion
  /** What the monitor could do besides, e.g. `oob`. This client asks for none of it. */
  readonly capabilities: readonly string[]
}

/** One line from QEMU: docs/interop/qmp-spec.rst, "Server Greeting", "Commands Responses", "Asynchronous events". */
export type QmpMessage =
  | { readonly is: 'greeting'; readonly greeting: QmpGreeting }
  /** The id is null if there is none, or none of a form that this package sends. */
  | { readonly is: 'return'; readonly id: string | null; readonly value: unknown }
  | {
      readonly is: 'error'
      readonly id: string | null
      readonly class: string
      readonly description: string
    }
  | {
      readonly is: 'event'
      readonly name: string
      /** Milliseconds since 1970, or null where QEMU could not tell. */
      readonly atMs: number | null
      readonly data: Readonly<Record<string, unknown>>
    }

const kinds = ['QMP', 'return', 'error', 'event'] as const

/** Reads a line. Throws `QmpProtocolError` for everything that is no message of QMP. */
export function readMessage(line: Buffer, depthMax: number): QmpMessage {
  const message = parseLine(line, depthMax)
  const found = kinds.filter((kind) => Object.hasOwn(message, kind))
  const [kind] = found
  if (kind === undefined || found.length > 1) {
    throw new QmpProtocolError('a message is not one of greeting, return, error and event')
  }
  try {
    return readKind(kind, message)
  } catch (error) {
    if (!(error instanceof QmpError) || error.kind === 'protocol') throw error
    throw new QmpProtocolError(`a malformed ${kind}`, error)
  }
}

function readKind(
  kind: (typeof kinds)[number],
  message: Readonly<Record<string, unknown>>,
): QmpMessage {
  const fields = new Fields(message, 'message')
  switch (kind) {
    case 'QMP':
      return { is: 'greeting', greeting: readGreeting(fields.object('QMP')) }
    case 'return':
      return { is: 'return', id: readId(message['id']), value: message['return'] }
    case 'error': {
      const error = fields.object('error')
      return {
        is: 'error',
        id: readId(message['id']),
        class: error.string('class'),
        description: error.string('desc'),
      }
    }
    case 'event':
      return {
        is: 'event',
        name: fields.string('event'),
        atMs: readTimestamp(message['timestamp']),
        data: fields.has('data') ? readObject(message['data'], 'message.data') : {},
      }
  }
}

function readId(id: unknown): string | null {
  return typeof id === 'string' ? id : null
}

function readGreeting(fields: Fields): QmpGreeting {
  return {
    version: readVersion(fields.object('version')),
    capabilities: fields.strings('capabilities'),
  }
}

/** Throws `QmpReturnError`. */
export function readVersion(fields: Fields): QmpVersion {
  const qemu = fields.object('qemu')
  return {
    major: qemu.size('major'),
    minor: qemu.size('minor'),
    micro: qemu.size('micro'),
    package: fields.string('package'),
  }
}

/** QEMU writes -1 where it has no time. An event without a usable one is still an event. */
function readTimestamp(value: unknown): number | null {
  if (typeof value !== 'object' || value === null) return null
  const { seconds, microseconds }: { seconds?: unknown; microseconds?: unknown } = value
  if (!isCount(seconds) || !isCount(microseconds)) return null
  const atMs = seconds * 1_000 + microseconds / 1_000
  return atMs <= Number.MAX_SAFE_INTEGER ? atMs : null
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function parseLine(line: Buffer, depthMax: number): Readonly<Record<string, unknown>> {
  if (!isUtf8(line)) throw new QmpProtocolError('a line is not UTF-8')
  // Before parsing: what reads or prints the value later must not run out of stack.
  if (isDeeper(line, depthMax)) {
    throw new QmpProtocolError(`a message is nested more than ${depthMax} deep`)
  }
  let value: unknown
  try {
    value = JSON.parse(line.toString('utf8'))
  } catch (cause) {
    throw new QmpProtocolError('a line is not JSON', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new QmpProtocolError('a line is not an object')
  }
  // Proven by the check above: a non-null, non-array object is indexable by string.
  return value as Readonly<Record<string, unknown>>
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

function isDeeper(line: Buffer, depthMax: number): boolean {
  let depth = 0
  let inString = false
  for (let at = 0; at < line.length; at += 1) {
    const byte = line[at]
    if (inString) {
      if (byte === BACKSLASH) at += 1
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) {
      inString = true
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1
      if (depth > depthMax) return true
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1
    }
  }
  return false
}
