/**
 * Server-sent events (WHATWG HTML, section 9.2.6), as far as a client of JSON events needs them: fields `event`,
 * `data` and `id`; comments keep the connection alive; `retry` is not followed.
 */
import { ContractError } from './errors.ts'

/** The largest object (a set with 16 containers and 1,000 rejected hosts) is far below this. */
export const SSE_EVENT_CHARS_MAX = 4 * 2 ** 20

export interface ServerSentEvent {
  readonly event: string
  readonly data: string
  readonly id: string
}

/** Takes text in any pieces, gives the events that it completes. Throws ContractError past SSE_EVENT_CHARS_MAX. */
export class SseParser {
  #rest = ''
  #isFirst = true
  #event = ''
  #data: string[] = []
  #dataChars = 0
  #id = ''

  push(text: string): ServerSentEvent[] {
    if (text === '') return []
    if (this.#isFirst && text.startsWith('\uFEFF')) text = text.slice(1)
    this.#isFirst = false
    const events: ServerSentEvent[] = []
    const whole = this.#rest + text
    let start = 0
    // What was kept holds no line end, save for a CR at its very end.
    let searchFrom = Math.max(0, this.#rest.length - 1)
    for (;;) {
      const end = lineEnd(whole, searchFrom)
      if (end === undefined) break
      const event = this.#line(whole.slice(start, end.at))
      if (event !== undefined) events.push(event)
      start = end.next
      searchFrom = start
    }
    this.#rest = whole.slice(start)
    if (this.#rest.length + this.#dataChars > SSE_EVENT_CHARS_MAX) {
      throw new ContractError(`an event is longer than ${SSE_EVENT_CHARS_MAX} characters`)
    }
    return events
  }

  #line(line: string): ServerSentEvent | undefined {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const raw = colon < 0 ? '' : line.slice(colon + 1)
    const value = raw.startsWith(' ') ? raw.slice(1) : raw
    if (field === 'data') {
      this.#data.push(value)
      this.#dataChars += value.length
    } else if (field === 'event') this.#event = value
    else if (field === 'id' && !value.includes('\0')) this.#id = value
    return undefined
  }

  #dispatch(): ServerSentEvent | undefined {
    const event = { event: this.#event, data: this.#data.join('\n'), id: this.#id }
    const isEmpty = this.#data.length === 0
    this.#event = ''
    this.#data = []
    this.#dataChars = 0
    return isEmpty ? undefined : event
  }
}

/** Lines end with LF, CRLF or CR; a CR at the very end may be half of a CRLF, so it waits for more. */
function lineEnd(text: string, from: number): { at: number; next: number } | undefined {
  for (let at = from; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (char === 10) return { at, next: at + 1 }
    if (char !== 13) continue
    if (at + 1 === text.length) return undefined
    return { at, next: text.charCodeAt(at + 1) === 10 ? at + 2 : at + 1 }
  }
  return undefined
}
