import type { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from './errors.ts'
import { parseFieldValue, type Masked } from './field-value.ts'
import { FIELDS, allOnes, fieldSpec, type FieldSpec, type Prerequisite } from './fields.ts'
import type { FieldName, FieldValue, Match } from './flow.ts'
import { OXM_VLAN_PCP, OXM_VLAN_VID, readOxmEntry, wireMasked, writeOxmEntry } from './oxm.ts'
import { isPort } from './ports.ts'
import type { OpenFlowVersion } from './version.ts'
import { VERSION_15 } from './version.ts'

/** One field of a match in its canonical form; `mask` is never zero. */
export interface MatchEntry extends Masked {
  readonly spec: FieldSpec
}

const ETH_TYPE_IPV4 = 0x0800n
const ETH_TYPE_IPV6 = 0x86ddn
const ETH_TYPE_ARP = 0x0806n
const ETH_TYPE_RARP = 0x8035n

/** Bits of the 802.1Q tag as Open vSwitch keeps it; PRESENT says that there is a tag at all. */
const VLAN_PRESENT = 0x1000n
const VLAN_VID_AND_PRESENT = 0x1fffn
const VLAN_PCP = 0xe000n
const VLAN_PCP_SHIFT = 13n

const OFPMT_OXM = 1
const MATCH_HEADER_BYTES = 4

/** OXM_OF_PACKET_TYPE; the only type a bridge of ours has is Ethernet, which is 0. */
const OXM_PACKET_TYPE = { class: 0x8000, field: 44 }

/**
 * The one form of a match: order of the wire, xregs as pairs of registers, wildcards dropped, values masked.
 * Two matches mean the same to the switch exactly if their canonical forms are equal.
 * Throws OpenFlowEncodeError for an unknown field, a value that does not fit, or a missing prerequisite.
 */
export function canonicalMatch(match: Match): readonly MatchEntry[] {
  const entries: (MatchEntry | undefined)[] = []
  for (const name of Object.keys(match)) {
    const spec = fieldSpec(name)
    if (spec === undefined) throw new OpenFlowEncodeError(`${name.slice(0, 40)} is no field`)
    const value = match[spec.name]
    if (value === undefined) continue
    const masked = parseFieldValue(spec, value)
    if (masked.mask !== 0n) addEntry(entries, spec, masked)
  }
  // Sparse and indexed by order, so dropping the holes leaves the order of the wire.
  const sorted = entries.filter((entry) => entry !== undefined)
  for (const entry of sorted) {
    if (!hasPrerequisite(entries, entry)) {
      const { name, needs } = entry.spec
      throw new OpenFlowEncodeError(`${name} can be matched only together with ${needed[needs]}`)
    }
  }
  return sorted
}

function addEntry(entries: (MatchEntry | undefined)[], spec: FieldSpec, masked: Masked): void {
  if (spec.name.startsWith('xreg')) {
    const [upper, lower] = registersOf(spec)
    addEntry(entries, upper, { value: masked.value >> 32n, mask: masked.mask >> 32n })
    addEntry(entries, lower, {
      value: masked.value & 0xffff_ffffn,
      mask: masked.mask & 0xffff_ffffn,
    })
    return
  }
  const normal = spec.name === 'vlanTci' ? normalVlan(masked) : masked
  if (normal.mask === 0n) return
  const before = entries[spec.order]
  if (before === undefined) {
    entries[spec.order] = { spec, ...normal }
    return
  }
  const common = before.mask & normal.mask
  if ((before.value & common) !== (normal.value & common)) {
    throw new OpenFlowEncodeError(`${spec.name} is wanted as two different values`)
  }
  entries[spec.order] = {
    spec,
    value: before.value | normal.value,
    mask: before.mask | normal.mask,
  }
}

/** xregN is reg2N (upper half) and reg2N+1 (lower half). */
function registersOf(xreg: FieldSpec): [FieldSpec, FieldSpec] {
  const index = Number(xreg.name.slice('xreg'.length))
  const upper = fieldSpec(`reg${index * 2}`)
  const lower = fieldSpec(`reg${index * 2 + 1}`)
  if (upper === undefined || lower === undefined)
    throw new TypeError(`${xreg.name} has no registers`)
  return [upper, lower]
}

/**
 * OpenFlow has no field for a whole tag: it has the VLAN number with the "there is a tag" bit, and the priority, which
 * is wanted whole or not at all and only of a packet that has a tag.
 */
function normalVlan({ value, mask }: Masked): Masked {
  if ((value & VLAN_PRESENT) !== 0n) {
    const pcpMask = mask & VLAN_PCP
    if (pcpMask !== 0n && pcpMask !== VLAN_PCP) {
      throw new OpenFlowEncodeError(
        'vlanTci: the priority (bits 13..15) is matched whole or not at all',
      )
    }
    return { value, mask }
  }
  if ((mask & VLAN_PCP) !== 0n && (value !== 0n || (mask & VLAN_PRESENT) === 0n)) {
    throw new OpenFlowEncodeError('vlanTci: a priority is matched only together with bit 12 set')
  }
  return { value, mask: mask & VLAN_VID_AND_PRESENT }
}

/** Fields that carry prerequisites for others, found by name because the array is indexed by order. */
const ethTypeOrder = fieldSpec('ethType')?.order ?? 0
const ipProtoOrder = fieldSpec('ipProto')?.order ?? 0
const ipFragOrder = fieldSpec('ipFrag')?.order ?? 0

const needed: { readonly [K in Prerequisite]: string } = {
  none: 'nothing',
  ip: 'ethType 0x0800 or 0x86dd',
  ipv4: 'ethType 0x0800',
  arp: 'ethType 0x0806',
  tcp: 'ethType 0x0800 or 0x86dd, ipProto 6 and no ipFrag "later"',
  udp: 'ethType 0x0800 or 0x86dd, ipProto 17 and no ipFrag "later"',
  icmp: 'ethType 0x0800 and ipProto 1',
}

function hasPrerequisite(byOrder: readonly (MatchEntry | undefined)[], entry: MatchEntry): boolean {
  const ethType = byOrder[ethTypeOrder]?.value
  const ipProto = byOrder[ipProtoOrder]?.value
  const laterFragment = ((byOrder[ipFragOrder]?.value ?? 0n) & 2n) !== 0n
  return holds(entry.spec.needs, { ethType, ipProto, laterFragment })
}

interface Known {
  readonly ethType: bigint | undefined
  readonly ipProto: bigint | undefined
  readonly laterFragment: boolean
}

function holds(prerequisite: Prerequisite, known: Known): boolean {
  const isIp = known.ethType === ETH_TYPE_IPV4 || known.ethType === ETH_TYPE_IPV6
  switch (prerequisite) {
    case 'none':
      return true
    case 'ip':
      return isIp
    case 'ipv4':
      return known.ethType === ETH_TYPE_IPV4
    case 'arp':
      return known.ethType === ETH_TYPE_ARP || known.ethType === ETH_TYPE_RARP
    case 'tcp':
      return isIp && known.ipProto === 6n && !known.laterFragment
    case 'udp':
      return isIp && known.ipProto === 17n && !known.laterFragment
    case 'icmp':
      return known.ethType === ETH_TYPE_IPV4 && known.ipProto === 1n
  }
}

/** Writes struct ofp_match with its padding. Throws as canonicalMatch. */
export function encodeMatch(writer: ByteWriter, match: Match, version: OpenFlowVersion): void {
  const start = writer.length
  writer.u16(OFPMT_OXM)
  writer.u16(0)
  writeEntries(writer, canonicalMatch(match), version)
  writer.patchLength(start + 2, start)
  writer.align(8, start)
}

function writeEntries(
  writer: ByteWriter,
  entries: readonly MatchEntry[],
  version: OpenFlowVersion,
): void {
  let pendingUpper: MatchEntry | undefined
  for (const entry of entries) {
    const register = version === VERSION_15 ? registerIndex(entry.spec) : -1
    if (pendingUpper !== undefined) {
      const isItsLower = registerIndex(pendingUpper.spec) + 1 === register
      writeRegisterPair(writer, pendingUpper, isItsLower ? entry : undefined)
      pendingUpper = undefined
      if (isItsLower) continue
    }
    if (register < 0) writeEntry(writer, entry, version)
    else if (register % 2 === 0) pendingUpper = entry
    else writeRegisterPair(writer, undefined, entry)
  }
  if (pendingUpper !== undefined) writeRegisterPair(writer, pendingUpper, undefined)
}

function registerIndex(spec: FieldSpec): number {
  return spec.name.startsWith('reg') ? Number(spec.name.slice('reg'.length)) : -1
}

/** OpenFlow 1.5 knows registers as pairs only; ovs-ofctl writes them so, hence we do. */
function writeRegisterPair(
  writer: ByteWriter,
  upper: MatchEntry | undefined,
  lower: MatchEntry | undefined,
): void {
  const present = upper ?? lower
  if (present === undefined) return
  const index = Math.floor(registerIndex(present.spec) / 2)
  const spec = fieldSpec(`xreg${index}`)
  if (spec === undefined) throw new TypeError(`xreg${index} is missing`)
  writeOxmEntry(writer, spec.oxm15, spec.bytes, {
    value: ((upper?.value ?? 0n) << 32n) | (lower?.value ?? 0n),
    mask: ((upper?.mask ?? 0n) << 32n) | (lower?.mask ?? 0n),
  })
}

function writeEntry(writer: ByteWriter, entry: MatchEntry, version: OpenFlowVersion): void {
  if (entry.spec.name === 'vlanTci') {
    writeVlan(writer, entry)
    return
  }
  const oxm = version === VERSION_15 ? entry.spec.oxm15 : entry.spec.oxm14
  writeOxmEntry(writer, oxm, entry.spec.bytes, wireMasked(entry.spec, entry))
}

function writeVlan(writer: ByteWriter, { value, mask }: Masked): void {
  const vidMask = mask & VLAN_VID_AND_PRESENT
  if (vidMask !== 0n) {
    const exact = vidMask === VLAN_VID_AND_PRESENT
    writeOxmEntry(writer, OXM_VLAN_VID, 2, {
      value: value & VLAN_VID_AND_PRESENT,
      mask: exact ? 0xffffn : vidMask,
    })
  }
  if ((mask & VLAN_PCP) !== 0n) {
    writeOxmEntry(writer, OXM_VLAN_PCP, 1, { value: value >> VLAN_PCP_SHIFT, mask: 0xffn })
  }
}

/** Reads struct ofp_match with its padding. Throws OpenFlowDecodeError, or its Unsupported kind for unknown fields. */
export function decodeMatch(reader: ByteReader): Match {
  const type = reader.u16()
  const length = reader.u16()
  if (type !== OFPMT_OXM) throw new OpenFlowDecodeError(`match of type ${type}, only OXM is spoken`)
  if (length < MATCH_HEADER_BYTES) throw new OpenFlowDecodeError(`match of ${length} bytes`)
  const fields = reader.sub(length - MATCH_HEADER_BYTES)
  const padding = (8 - (length % 8)) % 8
  reader.skip(padding)
  return decodeOxmFields(fields)
}

function decodeOxmFields(reader: ByteReader): Match {
  const entries: (MatchEntry | undefined)[] = []
  while (reader.remaining > 0) decodeEntry(entries, reader)
  for (const entry of entries) if (entry !== undefined) checkDecoded(entries, entry)
  return plainMatch(entries)
}

/** What we read we must be able to say again. */
function checkDecoded(entries: readonly (MatchEntry | undefined)[], entry: MatchEntry): void {
  if (entry.spec.text === 'port' && !isPort(Number(entry.value))) {
    throw new OpenFlowDecodeError(`match with port ${entry.value}`)
  }
  if (!hasPrerequisite(entries, entry)) {
    throw new OpenFlowDecodeError(`match with ${entry.spec.name}, but without its prerequisite`)
  }
}

/** OXM entries up to the end of the reader, without those that we do not know. Throws OpenFlowDecodeError. */
export function decodeKnownOxmFields(reader: ByteReader): Match {
  const entries: (MatchEntry | undefined)[] = []
  while (reader.remaining > 0) {
    try {
      decodeEntry(entries, reader)
    } catch (error) {
      // The entry was stepped over before it was found to be unknown.
      if (!(error instanceof OpenFlowUnsupportedError)) throw error
    }
  }
  return plainMatch(entries)
}

function plainMatch(entries: readonly (MatchEntry | undefined)[]): Match {
  const match: { [K in FieldName]?: FieldValue } = {}
  for (const entry of entries) {
    if (entry === undefined) continue
    match[entry.spec.name] = plainValue(entry)
  }
  return match
}

function decodeEntry(entries: (MatchEntry | undefined)[], reader: ByteReader): void {
  const { oxm, spec, masked, describe } = readOxmEntry(reader)
  if (sameOxm(oxm, OXM_VLAN_VID)) {
    mergeEntry(entries, vlanSpec, {
      value: masked.value & VLAN_VID_AND_PRESENT,
      mask: masked.mask & VLAN_VID_AND_PRESENT,
    })
  } else if (sameOxm(oxm, OXM_VLAN_PCP)) {
    // The number and the "there is a tag" bit came before; together they are one value.
    const before = entries[vlanSpec.order]
    entries[vlanSpec.order] = undefined
    mergeEntry(entries, vlanSpec, {
      value: (before?.value ?? 0n) | ((masked.value << VLAN_PCP_SHIFT) & VLAN_PCP),
      mask: (before?.mask ?? 0n) | VLAN_PCP,
    })
  } else if (spec !== undefined) {
    const ones = allOnes(spec)
    if ((masked.value & ~ones) !== 0n) {
      throw new OpenFlowUnsupportedError(
        `${spec.name} with unknown bits ${masked.value.toString(16)}`,
      )
    }
    mergeEntry(entries, spec, { value: masked.value, mask: masked.mask & ones })
  } else if (!sameOxm(oxm, OXM_PACKET_TYPE) || masked.value !== 0n) {
    throw new OpenFlowUnsupportedError(`match field ${describe}`)
  }
}

function mergeEntry(entries: (MatchEntry | undefined)[], spec: FieldSpec, masked: Masked): void {
  try {
    addEntry(entries, spec, masked)
  } catch (cause) {
    if (!(cause instanceof OpenFlowEncodeError)) throw cause
    throw new OpenFlowDecodeError(`match with a bad ${spec.name}`, { cause })
  }
}

const vlanSpec = FIELDS.find((spec) => spec.name === 'vlanTci') ?? unreachableVlan()
function unreachableVlan(): never {
  throw new TypeError('vlanTci is missing from the table of fields')
}

function sameOxm(
  a: { class: number; field: number },
  b: { class: number; field: number },
): boolean {
  return a.class === b.class && a.field === b.field
}

/** Numbers where they are exact and common, text where people write text, the general form for the rest. */
function plainValue({ spec, value, mask }: MatchEntry): FieldValue {
  const exact = mask === allOnes(spec)
  if (!exact)
    return spec.bits <= 32 ? { value: Number(value), mask: Number(mask) } : { value, mask }
  return spec.bits <= 32 ? Number(value) : value
}
