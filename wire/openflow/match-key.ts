import { parseIpv4, parseMac } from './field-value.ts'
import { FIELDS, fieldSpec, type FieldSpec } from './fields.ts'
import type { FieldValue, Match } from './flow.ts'
import { canonicalMatch } from './match.ts'
import { PORTS_END } from './ports.ts'

/**
 * One text for all spellings of a match: the part of flowKey that stands for it. Throws OpenFlowEncodeError for a match
 * that cannot be expressed.
 */
export function matchKey(match: Match): string {
  return plainMatchKey(match) ?? canonicalMatchKey(match)
}

/** The same by way of the canonical form, which knows every way to say a match. */
export function canonicalMatchKey(match: Match): string {
  return canonicalMatch(match)
    .map(({ spec, value, mask }) => `${spec.name}=${value.toString(16)}/${mask.toString(16)}`)
    .join(',')
}

/** What every key says of a field, made once. */
interface PlainField {
  readonly spec: FieldSpec
  readonly head: string
  readonly exactTail: string
  readonly max: number
}

// Without those that are put together from several values, or taken apart into several.
const plainFields = new Map(
  FIELDS.filter(({ name }) => name !== 'vlanTci' && !name.startsWith('xreg')).map((spec) => [
    spec.name as string, // so that any key of a match can be looked up
    plainField(spec),
  ]),
)
const ethTypeOrder = fieldSpec('ethType')?.order ?? -1

function plainField(spec: FieldSpec): PlainField {
  return {
    spec,
    head: `${spec.name}=`,
    exactTail: `/${spec.ones.toString(16)}`,
    max: Number(spec.ones),
  }
}

/**
 * The key of a match that says everything in a plain way, as composed flows do, in a fraction of the time: flows are
 * compared far more often than sent. Undefined for every other match; what is wrong with one the canonical form says.
 */
function plainMatchKey(match: Match): string | undefined {
  const parts: string[] = []
  const orders: number[] = []
  let needed: FieldSpec['needs'] = 'none'
  let ethType: string | undefined
  for (const name in match) {
    const field = plainFields.get(name)
    if (field === undefined) return undefined
    const { needs, order } = field.spec
    const part = plainPart(field, match[field.spec.name])
    if (part === undefined) return undefined
    if (order === ethTypeOrder) ethType = part
    if (needs !== 'none') {
      if (needed !== 'none' && needed !== needs) return undefined
      needed = needs
    }
    insert(parts, orders, part, order)
  }
  if (needed !== 'none' && (ethType === undefined || ethType !== ethTypeFor[needed]))
    return undefined
  return parts.join(',')
}

/** What `ethType` must say exactly for fields with this prerequisite; others have more than one, or need more. */
const ethTypeFor: { readonly [K in FieldSpec['needs']]?: string } = {
  ipv4: 'ethType=800/ffff',
  arp: 'ethType=806/ffff',
}

/** Keeps both lists in the order of fields; a match has a handful. */
function insert(parts: string[], orders: number[], part: string, order: number): void {
  let at = parts.length
  for (; at > 0; at--) {
    const before = orders[at - 1] ?? 0
    if (before < order) break
    parts[at] = parts[at - 1] ?? ''
    orders[at] = before
  }
  parts[at] = part
  orders[at] = order
}

function plainPart(field: PlainField, value: FieldValue | undefined): string | undefined {
  const { spec, head, exactTail, max } = field
  if (value === null) return undefined
  if (typeof value === 'object') return plainMasked(field, value)
  const exact = typeof value === 'string' ? plainText(spec, value) : value
  if (typeof exact !== 'number' || !Number.isSafeInteger(exact) || exact < 0 || exact > max)
    return undefined
  // Reserved ports have two numbers each.
  if (spec.text === 'port' && exact >= PORTS_END) return undefined
  return head + exact.toString(16) + exactTail
}

/** Bit operations on numbers are exact up to 32 bits. */
function plainMasked(
  { spec, head, max }: PlainField,
  masked: Exclude<FieldValue, number | bigint | string>,
): string | undefined {
  const { value, mask } = masked
  if (typeof value !== 'number' || typeof mask !== 'number') return undefined
  if (!spec.maskable || spec.bits > 32 || spec.text === 'port') return undefined
  if (!isWithin(value, 0, max) || !isWithin(mask, 1, max)) return undefined
  return `${head}${((value & mask) >>> 0).toString(16)}/${mask.toString(16)}`
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}

function plainText(spec: FieldSpec, text: string): number | undefined {
  if (spec.text === 'ipv4') return parseIpv4(text)
  return spec.text === 'mac' ? parseMac(text) : undefined
}
