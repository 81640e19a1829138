import { isPlatformError } from '@nubo/base'
import type { LogEntry } from '../drivers/set/set-driver.ts'

export type LogSource = AsyncIterable<Pick<LogEntry, 'stream' | 'bytes'>>

/** A container that has not been made yet has written nothing; that keeps nobody from the logs beside it. */
export async function* existing(entries: AsyncIterable<LogEntry>): AsyncGenerator<LogEntry> {
  try {
    yield* entries
  } catch (error) {
    if (!isPlatformError(error, 'NOT_FOUND')) throw error
  }
}

/** Prefixes of the containers of a set stand in one column. */
export function prefixed(
  entries: AsyncIterable<LogEntry>,
  prefix: string,
): AsyncIterable<LogEntry> {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const entry of entries)
        yield { ...entry, bytes: Buffer.concat([Buffer.from(prefix), entry.bytes]) }
    },
  }
}

/**
 * Several logs as one: as they come while they are followed, else in the order of time. Ends when all have ended, or
 * with the first error; then the others are left.
 */
export async function* merged(
  sources: readonly AsyncIterable<LogEntry>[],
  order: 'arrival' | 'time',
): AsyncGenerator<LogEntry> {
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
  readonly result: IteratorResult<LogEntry>
}

async function pull(iterator: AsyncIterator<LogEntry>, at: number): Promise<Turn> {
  return { at, result: await iterator.next() }
}

function earliest(turns: readonly Turn[]): Turn {
  return turns.reduce((first, turn) => (timeOf(turn) < timeOf(first) ? turn : first))
}

function timeOf({ result }: Turn): number {
  // An ended one comes first, so that it is taken out.
  return result.done === true ? -Infinity : result.value.atMs
}
