import { concatBytes, readU8 } from './bytes.ts'
import { DhcpDecodeError, DhcpEncodeError } from './errors.ts'

// Where options lie in a message: behind the cookie and, where option 52 says so, in the fields for the boot file
// and the name of the server.

const PAD = 0
const END = 255
const OVERLOAD = 52
const OVERLOADS_FILE = 1
const OVERLOADS_SERVER_NAME = 2
const PIECE_BYTES_MAX = 255
/** Pieces, not kinds: far more than any client sends. */
export const OPTIONS_MAX = 512

export interface OptionAreas {
  readonly options: Uint8Array
  readonly file: Uint8Array
  readonly serverName: Uint8Array
}

export interface CollectedOptions {
  /** Number → its bytes, pieces put together in order; copies, no views. */
  readonly byCode: ReadonlyMap<number, Uint8Array>
  /** These fields held options, hence neither file nor name. */
  readonly isFileTaken: boolean
  readonly isServerNameTaken: boolean
}

/**
 * Reads all areas, in the order of RFC 3396: options, file, name of the server. An area may end without END.
 * Throws DhcpDecodeError: `badOption`, `tooManyOptions`.
 */
export function collectOptions(areas: OptionAreas): CollectedOptions {
  const pieces = new Map<number, Uint8Array[]>()
  let count = collectArea(pieces, areas.options, 0)
  const overload = overloadOf(pieces)
  const isFileTaken = (overload & OVERLOADS_FILE) !== 0
  const isServerNameTaken = (overload & OVERLOADS_SERVER_NAME) !== 0
  if (isFileTaken) count = collectArea(pieces, areas.file, count)
  if (isServerNameTaken) collectArea(pieces, areas.serverName, count)
  pieces.delete(OVERLOAD)
  const byCode = new Map<number, Uint8Array>()
  for (const [code, parts] of pieces) byCode.set(code, concatBytes(parts))
  return { byCode, isFileTaken, isServerNameTaken }
}

/** Adds the options of an area; returns how many there are with those of earlier areas. */
function collectArea(
  pieces: Map<number, Uint8Array[]>,
  area: Uint8Array,
  countBefore: number,
): number {
  let count = countBefore
  let at = 0
  while (at < area.length) {
    const code = readU8(area, at)
    if (code === END) break
    if (code === PAD) {
      at += 1
      continue
    }
    const valueAt = at + 2
    const end = valueAt + readU8(area, at + 1)
    if (valueAt > area.length || end > area.length) {
      throw new DhcpDecodeError('badOption', `option ${code} at ${at} is cut off`)
    }
    count += 1
    if (count > OPTIONS_MAX) {
      throw new DhcpDecodeError('tooManyOptions', `more than ${OPTIONS_MAX} options`)
    }
    const parts = pieces.get(code)
    const part = area.subarray(valueAt, end)
    if (parts === undefined) pieces.set(code, [part])
    else parts.push(part)
    at = end
  }
  return count
}

function overloadOf(pieces: ReadonlyMap<number, readonly Uint8Array[]>): number {
  const parts = pieces.get(OVERLOAD)
  if (parts === undefined) return 0
  const [part, ...more] = parts
  const value = part?.length === 1 ? readU8(part, 0) : 0
  if (more.length > 0 || value < 1 || value > 3) {
    throw new DhcpDecodeError('badOption', 'the option overload (52) is none of 1, 2, 3')
  }
  return value
}

/** An option as it is written, in pieces of at most 255 bytes (RFC 3396). */
export function optionPieces(code: number, value: Uint8Array): Uint8Array {
  if (!Number.isInteger(code) || code <= PAD || code >= END || code === OVERLOAD) {
    throw new DhcpEncodeError(`option ${code} is the message's own; none of that number can be set`)
  }
  const pieces: Uint8Array[] = []
  let at = 0
  do {
    const piece = value.subarray(at, at + PIECE_BYTES_MAX)
    pieces.push(Uint8Array.of(code, piece.length), piece)
    at += PIECE_BYTES_MAX
  } while (at < value.length)
  return concatBytes(pieces)
}

export const END_OF_OPTIONS: Uint8Array = Uint8Array.of(END)
