import { isPlatformError } from '@nubo/base'
import type { OutputChunk } from '../drivers/set/set-driver.ts'
import type { EntryPosition, TrackedItem } from './log-position.ts'

/** What is to be sent of a container's log, and how far it was carried with that. */
export interface LogPiece {
  readonly container: string
  readonly position: EntryPosition
  readonly chunk: OutputChunk | null
  /** What it wrote before this may be gone. */
  readonly isLost: boolean
}

export type LogSource = AsyncIterable<LogPiece>

/** A container that has not been made yet has written nothing; that keeps nobody from the logs beside it. */
export async function* existing(pieces: LogSource): AsyncGenerator<LogPiece> {
  try {
    yield* pieces
  } catch (error) {
    if (!isPlatformError(error, 'NOT_FOUND')) throw error
  }
}

/** Each entry with a prefix: those of the containers of a set stand in one column. */
export async function* pieces(
  items: AsyncIterable<TrackedItem>,
  { container, prefix }: { container: string; prefix: string },
): AsyncGenerator<LogPiece> {
  const start = Buffer.from(prefix)
  for await (const item of items) {
    const { position } = item
    const chunk = item.is === 'entry' ? prefixed(item.entry, start) : null
    yield { container, position, chunk, isLost: item.is === 'lost' }
  }
}

function prefixed({ stream, bytes }: OutputChunk, prefix: Buffer): OutputChunk {
  return { stream, bytes: prefix.length === 0 ? bytes : Buffer.concat([prefix, bytes]) }
}

/**
 * Several logs as one: as they come while they are followed, else in the order of time. Ends when all have ended, or
 * with the first error; then the others are left.
 */
export async function* merged(
  sources: readonly LogSource[],
  order: 'arrival' | 'time',
): AsyncGenerator<LogPiece> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]())
  const next = iterators.map((iterator, at) => pull(iterator, at))
  const open = new Map(next.map((promise, at) => [at, promise]))
  try {
    while (open.size > 0) {
      const turn =
        order === 'arrival'
          ? await Promise.race(open.values())
          : earliest(await Promise.all(open.values()))
      const iterator = iterators[turn.at]
      if (turn.result.done === true || iterator === undefined) open.delete(turn.at)
      else {
        open.set(turn.at, pull(iterator, turn.at))
        yield turn.result.value
      }
    }
  } finally {
    // Not waited for: a log that is followed answers when it has something to say, or its signal fires.
    for (const promise of open.values()) promise.catch(() => undefined)
    for (const iterator of iterators) iterator.return?.().catch(() => undefined)
  }
}

interface Turn {
  readonly at: number
  readonly result: IteratorResult<LogPiece>
}

async function pull(iterator: AsyncIterator<LogPiece>, at: number): Promise<Turn> {
  return { at, result: await iterator.next() }
}

function earliest(turns: readonly Turn[]): Turn {
  return turns.reduce((first, turn) => (comesBefore(turn, first) ? turn : first))
}

function comesBefore({ result: one }: Turn, { result: other }: Turn): boolean {
  // An ended one comes first, so that it is taken out.
  if (other.done === true) return false
  return one.done === true || one.value.position.atNs < other.value.position.atNs
}
