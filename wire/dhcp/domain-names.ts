import { readText, readU8, textBytes } from './bytes.ts'
import { DhcpEncodeError } from './errors.ts'

// Lists of names as in DNS messages (RFC 1035, 4.1.4), as option 119 has them (RFC 3397). Pointers count from the
// beginning of the option, put together from all its pieces.

const LABEL_BYTES_MAX = 63
const NAME_BYTES_MAX = 255
export const NAMES_MAX = 64
const POINTER = 0xc0
const POINTER_TARGET_MAX = 0x3fff

/** Undefined for bytes that are no list of names. Takes time linear in the bytes: names and their length are bounded. */
export function readDomainNames(bytes: Uint8Array): readonly string[] | undefined {
  const names: string[] = []
  let at = 0
  while (at < bytes.length) {
    const found = names.length < NAMES_MAX ? readName(bytes, at) : undefined
    if (found === undefined) return undefined
    names.push(found.name)
    at = found.end
  }
  return names.length > 0 ? names : undefined
}

function readName(bytes: Uint8Array, start: number): { name: string; end: number } | undefined {
  const labels: string[] = []
  let nameBytes = 1
  let at = start
  // Each pointer must lead to before where it was read from, so that none can lead in a circle.
  let segmentStart = start
  let end: number | undefined
  for (;;) {
    if (at >= bytes.length) return undefined
    const head = readU8(bytes, at)
    if (head === 0) break
    if ((head & POINTER) === POINTER) {
      const target = ((head & ~POINTER) << 8) | readU8(bytes, at + 1)
      if (at + 1 >= bytes.length || target >= segmentStart) return undefined
      end ??= at + 2
      at = target
      segmentStart = target
      continue
    }
    const label = readText(bytes.subarray(at + 1, at + 1 + head))
    nameBytes += 1 + head
    const isSound = head <= LABEL_BYTES_MAX && label.length === head && !/[.\0]/.test(label)
    if (!isSound || nameBytes > NAME_BYTES_MAX) return undefined
    labels.push(label)
    at += 1 + head
  }
  return labels.length > 0 ? { name: labels.join('.'), end: end ?? at + 1 } : undefined
}

/** With a pointer for each ending that was written before. Throws DhcpEncodeError for what is no name. */
export function domainNamesBytes(names: readonly string[], what: string): Uint8Array {
  if (names.length === 0 || names.length > NAMES_MAX) {
    throw new DhcpEncodeError(`${what}: ${names.length} names; 1 to ${NAMES_MAX} can be said`)
  }
  const bytes: number[] = []
  const known = new Map<string, number>()
  for (const name of names) writeName(bytes, known, { name, what })
  return Uint8Array.from(bytes)
}

function writeName(
  bytes: number[],
  known: Map<string, number>,
  { name, what }: { name: string; what: string },
): void {
  if (name.length + 2 > NAME_BYTES_MAX) {
    throw new DhcpEncodeError(`${what}: a name of ${name.length} characters; at most 253`)
  }
  const labels = name.split('.')
  for (const [index, label] of labels.entries()) {
    const ending = labels.slice(index).join('.')
    const pointer = known.get(ending)
    if (pointer !== undefined) {
      bytes.push(POINTER | (pointer >>> 8), pointer & 0xff)
      return
    }
    if (label.length === 0 || label.length > LABEL_BYTES_MAX) {
      throw new DhcpEncodeError(`${what}: "${name.slice(0, 80)}" has a label of ${label.length}`)
    }
    if (bytes.length <= POINTER_TARGET_MAX) known.set(ending, bytes.length)
    bytes.push(label.length, ...textBytes(label, what))
  }
  bytes.push(0)
}
