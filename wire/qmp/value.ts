import { QmpValueError } from './errors.ts'

/** What an argument may be. Members that are undefined are left out. */
export type QmpValue = string | number | boolean | null | readonly QmpValue[] | QmpObject
export interface QmpObject {
  readonly [name: string]: QmpValue | undefined
}

/** Arguments nest a few levels (a disk over its file over its throttle); more is a cycle or a mistake. */
const DEPTH_MAX = 64

/**
 * The line of a command (docs/interop/qmp-spec.rst, "Issuing Commands"), ended with LF.
 * Throws `QmpValueError` for arguments that JSON or QEMU would change or could not read: integers beyond 2^53 - 1, numbers
 * that are none, objects with behaviour, text with NUL, half surrogate pairs or Unicode noncharacters (to which QEMU
 * answers with an error that names no command), and for a line over `bytesMax`.
 */
export function encodeCommand(
  command: { readonly name: string; readonly id: string; readonly arguments: QmpObject },
  bytesMax: number,
): string {
  checkText(command.name, 'the name of a command')
  checkValue(command.arguments, command.name, 0)
  const isBare = Object.keys(command.arguments).length === 0
  const line = JSON.stringify({
    execute: command.name,
    ...(isBare ? {} : { arguments: command.arguments }),
    id: command.id,
  })
  if (Buffer.byteLength(line) > bytesMax) {
    throw new QmpValueError(command.name, `the command is longer than ${bytesMax} bytes`)
  }
  return `${line}\n`
}

function checkValue(value: unknown, at: string, depth: number): void {
  if (depth > DEPTH_MAX) throw new QmpValueError(at, `nested more than ${DEPTH_MAX} deep`)
  switch (typeof value) {
    case 'boolean':
      return
    case 'string':
      checkText(value, at)
      return
    case 'number':
      checkNumber(value, at)
      return
    case 'object':
      if (value === null) return
      if (Array.isArray(value)) {
        for (const [index, item] of value.entries()) checkValue(item, `${at}[${index}]`, depth + 1)
        return
      }
      checkMembers(value, at, depth)
      return
    default:
      throw new QmpValueError(at, `a ${typeof value} cannot be sent`)
  }
}

function checkMembers(value: object, at: string, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new QmpValueError(at, 'only plain objects can be sent')
  }
  for (const [name, item] of Object.entries(value)) {
    checkText(name, `${at}: the name of a member`)
    if (item !== undefined) checkValue(item, `${at}.${name}`, depth + 1)
  }
}

function checkNumber(value: number, at: string): void {
  if (!Number.isFinite(value)) throw new QmpValueError(at, `${value} cannot be sent`)
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return
  throw new QmpValueError(at, `${value} is an integer beyond 2^53 - 1 and not exact`)
}

// The last two code points of each plane, and 32 in the middle of the Arabic forms (Unicode, section 23.7).
const NOT_CHARACTERS = /\p{Noncharacter_Code_Point}/u

function checkText(text: string, at: string): void {
  if (text.includes('\0')) throw new QmpValueError(at, 'text with a NUL cannot be sent')
  if (!text.isWellFormed() || NOT_CHARACTERS.test(text)) {
    throw new QmpValueError(at, 'text that is not valid Unicode cannot be sent')
  }
}
