import { OpenFlowEncodeError } from './errors.ts'
import { allOnes, type FieldSpec, type TextForm } from './fields.ts'
import type { FieldValue } from './flow.ts'
import { formatPort, parsePort, port32 } from './ports.ts'

/** The one form in which this package computes with a value: bits outside the mask are zero. */
export interface Masked {
  readonly value: bigint
  readonly mask: bigint
}

/** Names of single bits, lowest first, as ovs-ofctl spells them. */
const flagNames: { readonly [K in TextForm]?: readonly string[] } = {
  ctState: ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'],
  tcpFlags: [
    'fin',
    'syn',
    'rst',
    'psh',
    'ack',
    'urg',
    'ece',
    'cwr',
    'ns',
    '[200]',
    '[400]',
    '[800]',
  ],
  tunFlags: ['oam'],
}

const FRAG_ANY = 1n
const FRAG_LATER = 2n
const fragments: { readonly [name: string]: Masked } = {
  no: { value: 0n, mask: FRAG_ANY | FRAG_LATER },
  yes: { value: FRAG_ANY, mask: FRAG_ANY },
  first: { value: FRAG_ANY, mask: FRAG_ANY | FRAG_LATER },
  later: { value: FRAG_ANY | FRAG_LATER, mask: FRAG_ANY | FRAG_LATER },
  not_later: { value: 0n, mask: FRAG_LATER },
}

function refuse(spec: FieldSpec, value: FieldValue, why: string): OpenFlowEncodeError {
  const shown = typeof value === 'object' ? `${value.value}/${value.mask}` : String(value)
  return new OpenFlowEncodeError(`${spec.name}: ${shown.slice(0, 80)} ${why}`)
}

/**
 * Value and mask of a field as bits. Accepts every form of FieldValue; text as ovs-ofctl takes it.
 * Throws OpenFlowEncodeError for a value that the field cannot hold.
 */
export function parseFieldValue(spec: FieldSpec, value: FieldValue): Masked {
  const parsed = toMasked(spec, value)
  const ones = allOnes(spec)
  if (parsed.value < 0n || parsed.value > ones) {
    throw refuse(spec, value, `does not fit ${spec.bits} bits`)
  }
  if (parsed.mask < 0n || parsed.mask > ones) {
    throw refuse(spec, value, `has a mask wider than ${spec.bits} bits`)
  }
  if (!spec.maskable && parsed.mask !== 0n && parsed.mask !== ones) {
    throw refuse(spec, value, 'is masked, but the field matches only exactly or not at all')
  }
  const isPort = spec.text === 'port' && parsed.mask === ones
  const bits = isPort ? portValue(spec, parsed.value) : parsed.value
  return { value: bits & parsed.mask, mask: parsed.mask }
}

/** A reserved port may be given in 16 bits; the 32-bit field says it in 32. */
function portValue(spec: FieldSpec, port: bigint): bigint {
  return spec.bits === 32 ? BigInt(port32(Number(port))) : port
}

function toMasked(spec: FieldSpec, value: FieldValue): Masked {
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return { value: toBigInt(spec, value), mask: allOnes(spec) }
    case 'string':
      return parseText(spec, value)
    case 'object':
      if (value === null) throw new OpenFlowEncodeError(`${spec.name}: null is no value`)
      return { value: toBigInt(spec, value.value), mask: toBigInt(spec, value.mask) }
    default:
      throw new OpenFlowEncodeError(`${spec.name}: ${typeof value} is no value`)
  }
}

function toBigInt(spec: FieldSpec, value: number | bigint): bigint {
  if (typeof value === 'bigint') return value
  if (!Number.isSafeInteger(value)) throw refuse(spec, value, 'is no integer')
  return BigInt(value)
}

function parseText(spec: FieldSpec, text: string): Masked {
  const named = parseNamed(spec, text)
  if (named !== undefined) return named
  const [head = '', tail, ...more] = text.split('/')
  if (more.length > 0) throw refuse(spec, text, 'has more than one mask')
  const value = parseConstant(spec, head)
  if (value === undefined) throw refuse(spec, text, 'is not understood')
  if (tail === undefined) return { value, mask: allOnes(spec) }
  const mask = parseMask(spec, tail)
  if (mask === undefined) throw refuse(spec, text, 'has a mask that is not understood')
  return { value, mask }
}

function parseNamed(spec: FieldSpec, text: string): Masked | undefined {
  if (spec.text === 'frag') return Object.hasOwn(fragments, text) ? fragments[text] : undefined
  const names = flagNames[spec.text]
  if (names === undefined || /^\d/.test(text)) return undefined
  return /^[+-]/.test(text) ? parseSignedFlags(spec, names, text) : parseFlagList(spec, names, text)
}

/** '+trk-new': the named bits, set or not, and no others. */
function parseSignedFlags(spec: FieldSpec, names: readonly string[], text: string): Masked {
  let value = 0n
  let mask = 0n
  for (const part of text.match(/[+-][^+-]*/g) ?? []) {
    const bit = 1n << BigInt(flagBit(spec, names, part.slice(1), text))
    if ((mask & bit) !== 0n) throw refuse(spec, text, 'names a flag twice')
    mask |= bit
    if (part.startsWith('+')) value |= bit
  }
  return { value, mask }
}

/** 'trk|est': exactly these bits, all others zero. */
function parseFlagList(spec: FieldSpec, names: readonly string[], text: string): Masked {
  let value = 0n
  for (const part of text.split('|')) value |= 1n << BigInt(flagBit(spec, names, part, text))
  return { value, mask: allOnes(spec) }
}

function flagBit(spec: FieldSpec, names: readonly string[], flag: string, text: string): number {
  const bit = names.indexOf(flag)
  if (bit < 0)
    throw refuse(spec, text, `has no flag "${flag.slice(0, 16)}"; there are ${names.join(', ')}`)
  return bit
}

function parseConstant(spec: FieldSpec, text: string): bigint | undefined {
  if (spec.text === 'ipv4') return bigintOf(parseIpv4(text))
  if (spec.text === 'mac') return bigintOf(parseMac(text))
  if (spec.text === 'port') {
    const port = parsePort(text)
    if (port !== undefined) return BigInt(spec.bits === 32 ? port : port & 0xffff)
  }
  return parseInteger(text)
}

function parseMask(spec: FieldSpec, text: string): bigint | undefined {
  if (spec.text === 'ipv4' && /^\d{1,2}$/.test(text)) {
    const prefix = Number(text)
    return prefix > 32 ? undefined : (0xffff_ffffn << BigInt(32 - prefix)) & 0xffff_ffffn
  }
  return parseConstant(spec, text)
}

function bigintOf(value: number | undefined): bigint | undefined {
  return value === undefined ? undefined : BigInt(value)
}

function parseInteger(text: string): bigint | undefined {
  return /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) ? BigInt(text) : undefined
}

const DOT = '.'.charCodeAt(0)
const COLON = ':'.charCodeAt(0)
const ZERO = '0'.charCodeAt(0)
const SMALL_A = 'a'.charCodeAt(0)
/** What a letter in upper case lacks to be one in lower case. */
const LOWER_CASE = 0x20
const MAC_CHARACTERS = 17

/** Four groups of one to three digits. Character by character, since keys of flows ask for it all the time. */
export function parseIpv4(text: string): number | undefined {
  let value = 0
  let octet = 0
  let digits = 0
  let dots = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === DOT && digits > 0) {
      value = value * 256 + octet
      octet = 0
      digits = 0
      dots += 1
      continue
    }
    const digit = code - ZERO
    if (digit < 0 || digit > 9 || digits === 3) return undefined
    octet = octet * 10 + digit
    if (octet > 255) return undefined
    digits += 1
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : undefined
}

/** Six groups of two digits, in either case. */
export function parseMac(text: string): number | undefined {
  if (text.length !== MAC_CHARACTERS) return undefined
  let value = 0
  for (let at = 0; at < MAC_CHARACTERS; at++) {
    const code = text.charCodeAt(at)
    if (at % 3 === 2) {
      if (code !== COLON) return undefined
      continue
    }
    const digit = hexDigit(code)
    if (digit === undefined) return undefined
    value = value * 16 + digit
  }
  return value
}

function hexDigit(code: number): number | undefined {
  const decimal = code - ZERO
  if (decimal >= 0 && decimal <= 9) return decimal
  const letter = (code | LOWER_CASE) - SMALL_A
  return letter >= 0 && letter <= 5 ? letter + 10 : undefined
}

/** `%#x` of C, which ovs-ofctl uses: zero has no prefix. */
export function hex(value: bigint): string {
  return value === 0n ? '0' : `0x${value.toString(16)}`
}

function formatIpv4(value: bigint): string {
  const number = Number(value)
  return [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255].join('.')
}

export function formatMac(value: bigint): string {
  const digits = value.toString(16).padStart(12, '0')
  return (digits.match(/../g) ?? []).join(':')
}

function formatIpv4Mask(mask: bigint): string {
  const inverted = mask ^ 0xffff_ffffn
  // A prefix inverted is 0…01…1; adding one carries through all of it.
  if ((inverted & (inverted + 1n)) !== 0n) return formatIpv4(mask)
  return String(32 - inverted.toString(2).replace('0', '').length)
}

/** '+trk-new' for masked flags, 'trk|est' or '0' for exact ones. */
export function formatSignedFlags(spec: FieldSpec, masked: Masked): string {
  return formatFlags(flagNames[spec.text] ?? [], masked, false)
}

function formatFlags(names: readonly string[], { value, mask }: Masked, exact: boolean): string {
  if (exact && value === 0n) return '0'
  const shown = names
    .map((name, bit) => ({ name, bit: 1n << BigInt(bit) }))
    .filter(({ bit }) => ((exact ? value : mask) & bit) !== 0n)
  if (exact) return shown.map(({ name }) => name).join('|')
  return shown.map(({ name, bit }) => ((value & bit) === 0n ? '-' : '+') + name).join('')
}

function formatFragment({ value, mask }: Masked): string {
  const found = Object.entries(fragments).find(
    ([, known]) => known.value === value && known.mask === mask,
  )
  return found === undefined ? `${hex(value)}/${hex(mask)}` : found[0]
}

/** As ovs-ofctl prints the value behind `field=` and `set_field:`. */
export function formatFieldValue(spec: FieldSpec, masked: Masked): string {
  const exact = masked.mask === allOnes(spec)
  switch (spec.text) {
    case 'ipv4':
      return formatIpv4(masked.value) + (exact ? '' : `/${formatIpv4Mask(masked.mask)}`)
    case 'mac':
      return formatMac(masked.value) + (exact ? '' : `/${formatMac(masked.mask)}`)
    case 'frag':
      return formatFragment(masked)
    case 'ctState':
    case 'tcpFlags':
    case 'tunFlags':
      return formatFlags(flagNames[spec.text] ?? [], masked, exact)
    case 'port':
      return formatPort(Number(masked.value))
    case 'decimal':
      return exact ? String(masked.value) : `${masked.value}/${hex(masked.mask)}`
    case 'hex':
      return exact ? hex(masked.value) : `${hex(masked.value)}/${hex(masked.mask)}`
  }
}
