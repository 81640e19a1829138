import { below } from './random.ts'

const keys = [
  'QMP',
  'return',
  'error',
  'event',
  'data',
  'id',
  'timestamp',
  'seconds',
  'class',
  'desc',
  'device',
  'path',
  'offset',
  '__proto__',
  'constructor',
  'toString',
]

/** Any JSON, biased to what means something in QMP and to what JavaScript stumbles over. */
export function randomJson(random: () => number, depth = 0): string {
  switch (below(random, depth > 4 ? 6 : 9)) {
    case 0:
      return ['null', 'true', 'false'][below(random, 3)] ?? 'null'
    case 1:
      return (
        ['0', '-1', '1e400', '9007199254740993', '18446744073709551615', '0.5'][below(random, 6)] ??
        '0'
      )
    case 2:
    case 3:
      return JSON.stringify(
        ['', 'STOP', 'RTC_CHANGE', '\u0000', '\u2028', '\\"{['][below(random, 6)],
      )
    case 4:
      return '{}'
    case 5:
      return '[]'
    case 6:
      return `[${Array.from({ length: below(random, 4) }, () => randomJson(random, depth + 1)).join(',')}]`
    default:
      return `{${Array.from(
        { length: below(random, 5) },
        () => `"${keys[below(random, keys.length)]}":${randomJson(random, depth + 1)}`,
      ).join(',')}}`
  }
}

/** Cuts, flips and repeats bytes of a text. */
export function mutate(random: () => number, text: string): Buffer {
  let bytes = Buffer.from(text)
  for (let changes = below(random, 4); changes > 0; changes -= 1) {
    const at = below(random, bytes.length + 1)
    switch (below(random, 3)) {
      case 0:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + below(random, 9))])
        break
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes])
        break
      default:
        bytes = Buffer.from(bytes)
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8))
    }
  }
  return bytes
}
