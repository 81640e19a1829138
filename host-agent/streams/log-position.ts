import type { LogPosition } from '@nubo/contracts'
import type { LogEntry, LogRequest } from '../drivers/set/set-driver.ts'

/**
 * Entries of stdout and stderr are stamped before they are written, each by a thread of its own, so a later one may stand
 * before an earlier one. On a busy machine these are milliseconds; whoever looks for an entry begins that much before.
 */
const DISORDER_MS = 1_000
const DISORDER_NS = 1_000_000_000n

/** An entry of one container's log: by its time stamp, and which one with that stamp it is, from 1. 0: none of them yet. */
export interface EntryPosition {
  readonly atNs: bigint
  readonly count: number
}

/** Reads the log of one container; each call from the beginning. */
export type ReadLog = (request: LogRequest) => AsyncIterable<LogEntry>

/** An entry, and how far the log was carried with it. */
export type TrackedItem =
  | { readonly is: 'entry'; readonly entry: LogEntry; readonly position: EntryPosition }
  | { readonly is: 'position'; readonly position: EntryPosition }
  /** What follows need not follow what was carried before: the log was rotated, or is that of another container. */
  | { readonly is: 'lost'; readonly position: EntryPosition }

/** Stamps that are counted at a time. Pieces of a long line of one output have those of the other between them, a few. */
const STAMPS_MAX = 1_024

/** Where each entry of a log is, told one after the other. */
export class Positions {
  readonly #counts = new Map<bigint, number>()

  next(atNs: bigint): EntryPosition {
    const count = (this.#counts.get(atNs) ?? 0) + 1
    this.#counts.set(atNs, count)
    if (this.#counts.size > STAMPS_MAX) {
      const [oldest] = this.#counts.keys()
      if (oldest !== undefined) this.#counts.delete(oldest)
    }
    return { atNs, count }
  }
}

export function parsePosition(
  position: LogPosition | null,
  container: string,
): EntryPosition | undefined {
  const found =
    position !== null && Object.hasOwn(position, container) ? position[container] : undefined
  return found === undefined ? undefined : { atNs: BigInt(found.atNs), count: found.count }
}

export function formatPosition({ atNs, count }: EntryPosition): LogPosition[string] {
  return { atNs: atNs.toString(), count }
}

/** A log from its beginning, as asked, or continued after a position. `nowMs`: by the clock that stamps entries. */
export async function* tracked(
  read: ReadLog,
  request: LogRequest,
  { after, nowMs }: { after: EntryPosition | undefined; nowMs: number },
): AsyncGenerator<TrackedItem, void, undefined> {
  if (after !== undefined) return yield* continued(read, request, after)
  if (request.follow !== true || request.tail === undefined)
    return yield* withPositions(read(request))
  // With a tail, the end of what is there must be known: who comes back shall not get the last lines of that moment.
  const { tail, follow, ...rest } = request
  let first: EntryPosition | undefined
  let last: EntryPosition = { atNs: BigInt(Math.floor(nowMs)) * 1_000_000n, count: 0 }
  for await (const item of withPositions(read({ ...rest, tail }))) {
    first ??= item.position
    last = item.position
    yield item
  }
  // The tail may have begun in the middle of a long line, with entries of the other output between its pieces.
  if (first !== undefined && last.count > 0)
    last = { ...last, count: await countOf(read, rest, last.atNs) }
  yield { is: 'position', position: last }
  yield* continued(read, { ...rest, follow }, last)
}

async function* continued(
  read: ReadLog,
  { tail: _tail, sinceMs: _sinceMs, ...rest }: LogRequest,
  after: EntryPosition,
): AsyncGenerator<TrackedItem, void, undefined> {
  const near = { ...rest, sinceMs: shortlyBefore(after.atNs) }
  if (after.count > 0 && !(await isThere(read, near, after))) {
    yield { is: 'lost', position: after }
    // Whatever is there was written later, also where another host's clock stamped it earlier.
    return yield* withPositions(read(rest))
  }
  const positions = new Positions()
  let seen = 0
  let isPast = false
  for await (const entry of read(near)) {
    const position = positions.next(entry.atNs)
    if (!isPast) {
      if (after.count === 0) isPast = entry.atNs >= after.atNs
      else if (entry.atNs === after.atNs && ++seen === after.count) {
        isPast = true
        continue
      } else if (entry.atNs > after.atNs + DISORDER_NS) {
        // It was there a moment ago, and was rotated out since.
        isPast = true
        yield { is: 'lost', position: after }
      }
      if (!isPast) continue
    }
    yield { is: 'entry', entry, position }
  }
}

async function* withPositions(
  entries: AsyncIterable<LogEntry>,
): AsyncGenerator<TrackedItem & { is: 'entry' }, void, undefined> {
  const positions = new Positions()
  for await (const entry of entries)
    yield { is: 'entry', entry, position: positions.next(entry.atNs) }
}

async function isThere(read: ReadLog, near: LogRequest, after: EntryPosition): Promise<boolean> {
  let seen = 0
  for await (const { atNs } of read({ ...near, follow: false })) {
    if (atNs === after.atNs && ++seen === after.count) return true
  }
  return false
}

async function countOf(read: ReadLog, rest: LogRequest, at: bigint): Promise<number> {
  let count = 0
  for await (const { atNs } of read({ ...rest, sinceMs: shortlyBefore(at) }))
    if (atNs === at) count++
  return count
}

function shortlyBefore(atNs: bigint): number {
  return Math.max(0, Number(atNs / 1_000_000n) - DISORDER_MS)
}
