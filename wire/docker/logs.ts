import { DockerError } from './errors.ts'
import { readTime } from './fields.ts'
import { decodeOutput, type OutputChunk } from './frames.ts'
import type { Transport } from './transport.ts'

export interface LogRequest {
  /** Stay and wait for more, until the container stops, the signal fires or the iteration is left. */
  readonly follow?: boolean
  /** Only entries at or after this time, milliseconds since 1970. */
  readonly sinceMs?: number
  /** Only entries before this time. */
  readonly untilMs?: number
  /** Only the last so many entries. */
  readonly tail?: number
  /** The container has a TTY, so its log has one stream and no frames. */
  readonly hasTty?: boolean
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

/**
 * One entry of the log: a line with its end, or a piece of about 16 KiB of a longer line.
 */
export interface LogEntry extends OutputChunk {
  /** Milliseconds since 1970 at which the engine read it. */
  readonly atMs: number
  /** The same in nanoseconds, without any rounding. */
  readonly atNs: bigint
}

/** The engine writes times of a fixed width, in UTC: `2026-01-02T03:04:05.123456789Z `. */
const TIME_CHARS = 30

/** Reads a log endpoint. Memory is bounded by one frame; a slow consumer slows the engine's reader, not the container. */
export async function* readLogs(
  transport: Transport,
  path: string,
  request: LogRequest,
): AsyncGenerator<LogEntry, void, undefined> {
  const answer = await transport.stream(
    {
      method: 'GET',
      path,
      query: {
        stdout: true,
        stderr: true,
        timestamps: true,
        follow: request.follow === true,
        since: request.sinceMs === undefined ? undefined : formatTime(request.sinceMs),
        until: request.untilMs === undefined ? undefined : formatTime(request.untilMs),
        tail: request.tail ?? 'all',
      },
    },
    {
      ...(request.signal === undefined ? {} : { signal: request.signal }),
      ...(request.timeoutMs === undefined ? {} : { timeoutMs: request.timeoutMs }),
    },
  )
  const chunks =
    request.hasTty === true ? splitTtyLines(answer.body) : decodeOutput(answer.body, { tty: false })
  for await (const chunk of chunks) yield withTime(chunk)
}

/** Seconds with a fraction, as the engine wants times. */
export function formatTime(atMs: number): string {
  const seconds = Math.floor(atMs / 1000)
  const nanoseconds = Math.round((atMs - seconds * 1000) * 1e6)
  return `${seconds}.${String(Math.min(nanoseconds, 999_999_999)).padStart(9, '0')}`
}

function withTime(chunk: OutputChunk): LogEntry {
  const text = chunk.bytes.toString('latin1', 0, TIME_CHARS)
  if (chunk.bytes[TIME_CHARS] !== 0x20)
    throw new DockerError('protocol', 'log entry without a time')
  const atMs = readTime(text, 'log entry')
  if (atMs === null) throw new DockerError('protocol', 'log entry without a time')
  const nanoseconds = BigInt(text.slice(20, 29))
  return {
    stream: chunk.stream,
    bytes: chunk.bytes.subarray(TIME_CHARS + 1),
    atMs,
    // Not from `atMs`, where the last nanoseconds of a second round up to the next one.
    atNs: BigInt(Date.parse(`${text.slice(0, 19)}Z`)) * 1_000_000n + nanoseconds,
  }
}

/** Lines, their ends included, of a log without frames. */
async function* splitTtyLines(
  source: AsyncIterable<Buffer>,
): AsyncGenerator<OutputChunk, void, undefined> {
  const lineBytesMax = 1024 * 1024
  let rest: Buffer = Buffer.alloc(0)
  for await (const bytes of source) {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      yield { stream: 'stdout', bytes: rest.subarray(0, end + 1) }
      rest = rest.subarray(end + 1)
    }
    if (rest.length > lineBytesMax)
      throw new DockerError('protocol', `log line over ${lineBytesMax} bytes`)
  }
  if (rest.length > 0) yield { stream: 'stdout', bytes: rest }
}
