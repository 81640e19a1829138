import { FIELDS, operandSpec, type FieldSpec, type Prerequisite } from '../fields.ts'
import type { Action, Bits, FieldName, FieldValue, Flow, Match, ReservedPort } from '../flow.ts'

/** Numbers that repeat for a seed. */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** mulberry32: enough for choosing test values. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** 0 up to `end`, which is not included. */
  below(end: number): number {
    return Math.floor(this.next() * end)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)]
    if (picked === undefined) throw new RangeError('nothing to pick from')
    return picked
  }

  bits(count: number): bigint {
    let value = 0n
    for (let done = 0; done < count; done += 16)
      value = (value << 16n) | BigInt(this.below(0x10000))
    return value & ((1n << BigInt(count)) - 1n)
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256))
  }
}

interface Protocol {
  readonly match: Match
  readonly gives: readonly Prerequisite[]
}

const protocols: readonly Protocol[] = [
  { match: {}, gives: ['none'] },
  { match: { ethType: 0x88cc }, gives: ['none'] },
  { match: { ethType: 0x0806 }, gives: ['none', 'arp'] },
  { match: { ethType: 0x0800 }, gives: ['none', 'ip', 'ipv4'] },
  { match: { ethType: 0x86dd }, gives: ['none', 'ip'] },
  { match: { ethType: 0x0800, ipProto: 6 }, gives: ['none', 'ip', 'ipv4', 'tcp'] },
  { match: { ethType: 0x86dd, ipProto: 6 }, gives: ['none', 'ip', 'tcp'] },
  { match: { ethType: 0x0800, ipProto: 17 }, gives: ['none', 'ip', 'ipv4', 'udp'] },
  { match: { ethType: 0x0800, ipProto: 1 }, gives: ['none', 'ip', 'ipv4', 'icmp'] },
]

/** Values that a switch checks beyond their width. */
const chosenValues: { readonly [K in FieldName]?: readonly FieldValue[] } = {
  inPort: [1, 2, 3, 65_279, 'local', 0xfffffffd],
  ethType: [0x0800],
  ipFrag: ['no', 'first', 'yes', 'not_later'],
  vlanTci: [0, 0x1005, 0x7fff, '0x0/0xffff', '0x1000/0x1000', '0x1abc/0x1fff', '0x5000/0xf000'],
  ctState: ['+trk', '+trk-new', '+trk+est-inv', '-trk', 'trk|est|rpl', '0x21/0x21'],
  arpOp: [1, 2],
  tunFlags: ['+oam', '-oam', 1, 0],
}

function usable(protocol: Protocol): readonly FieldSpec[] {
  const fixed = new Set<FieldName>(['ethType', 'ipProto'])
  return FIELDS.filter((spec) => protocol.gives.includes(spec.needs) && !fixed.has(spec.name))
}

function randomValue(random: SeededRandom, spec: FieldSpec): FieldValue {
  const chosen = chosenValues[spec.name]
  if (chosen !== undefined) return random.pick(chosen)
  const value = random.bits(spec.bits)
  if (!spec.maskable || random.chance(0.6)) return spec.bits <= 32 ? Number(value) : value
  const mask = random.chance(0.5)
    ? random.bits(spec.bits)
    : (1n << BigInt(spec.bits)) - (1n << BigInt(random.below(spec.bits)))
  return spec.bits <= 32 && random.chance(0.5)
    ? { value: Number(value), mask: Number(mask) }
    : { value, mask }
}

function randomMatch(random: SeededRandom, protocol: Protocol): Match {
  const match: { [K in FieldName]?: FieldValue } = { ...protocol.match }
  const fields = usable(protocol).filter(({ name }) => !name.startsWith('xreg'))
  for (let count = random.below(6); count > 0; count -= 1) {
    const spec = random.pick(fields)
    match[spec.name] = randomValue(random, spec)
  }
  // One register pair that no single register contradicts.
  if (random.chance(0.2)) {
    delete match.reg14
    delete match.reg15
    match.xreg7 = { value: random.bits(64), mask: random.bits(64) }
  }
  return match
}

function operands(protocol: Protocol, writable: boolean): readonly FieldSpec[] {
  return (
    usable(protocol)
      .filter((spec) => spec.writable || !writable)
      // Connection tracking marks may be set only inside ct(), which this package does not speak.
      .filter(({ name }) => name !== 'ctMark' || !writable)
      .map(({ name }) => operandSpec(name))
      .filter((spec) => spec !== undefined)
  )
}

function randomBits(random: SeededRandom, spec: FieldSpec, bitCount: number): Bits {
  const from = random.below(spec.bits - bitCount + 1)
  return { field: spec.name, from, to: from + bitCount - 1 }
}

function randomSet(random: SeededRandom, protocol: Protocol): Action {
  const plain = operands(protocol, true).filter(({ name }) => name !== 'vlanTci')
  const spec = random.pick(plain)
  if (random.chance(0.5)) {
    const value = random.bits(spec.bits)
    const mask =
      spec.bits === 1 || random.chance(0.5)
        ? (1n << BigInt(spec.bits)) - 1n
        : random.bits(spec.bits) | 1n
    if (spec.name === 'arpOp') return { type: 'setField', field: 'arpOp', value: 2 }
    return { type: 'setField', field: spec.name, value: { value, mask } }
  }
  if (spec.name === 'arpOp') return { type: 'decTtl' }
  const bitCount = 1 + random.below(spec.bits)
  return { type: 'load', value: random.bits(bitCount), to: randomBits(random, spec, bitCount) }
}

function randomMove(random: SeededRandom, protocol: Protocol): Action {
  const source = random.pick(operands(protocol, false))
  const sink = random.pick(operands(protocol, true))
  const bitCount = 1 + random.below(Math.min(source.bits, sink.bits))
  return {
    type: 'move',
    from: randomBits(random, source, bitCount),
    to: randomBits(random, sink, bitCount),
  }
}

const reservedOutputs: readonly ReservedPort[] = [
  'inPort',
  'normal',
  'flood',
  'all',
  'local',
  'controller',
]

function randomOutput(random: SeededRandom): Action {
  if (random.chance(0.5)) return { type: 'output', port: 1 + random.below(0xfeff - 1) }
  if (random.chance(0.5)) return { type: 'output', port: random.pick(reservedOutputs) }
  const field: FieldName = random.pick(['reg0', 'reg7', 'reg15', 'xreg3', 'tunId'])
  const width = random.pick([16, 32])
  return {
    type: 'output',
    port: { field, from: 0, to: width - 1 },
    maxLength: random.below(0x10000),
  }
}

function randomController(random: SeededRandom): Action {
  return {
    type: 'controller',
    ...(random.chance(0.5) ? { maxLength: random.below(0x10000) } : {}),
    ...(random.chance(0.5) ? { reason: random.below(3) } : {}),
    ...(random.chance(0.5) ? { userdata: random.bytes(random.below(40)) } : {}),
    ...(random.chance(0.5) ? { pause: true } : {}),
  }
}

function randomAction(random: SeededRandom, protocol: Protocol): Action {
  switch (random.below(7)) {
    case 0:
    case 1:
      return randomSet(random, protocol)
    case 2:
      return randomMove(random, protocol)
    case 3:
      return randomOutput(random)
    case 4:
      return randomController(random)
    case 5:
      return random.chance(0.5)
        ? { type: 'resubmit', table: random.below(254) }
        : { type: 'resubmit', table: random.below(254), inPort: 1 + random.below(0xfeff) }
    default:
      return protocol.gives.includes('ip') ? { type: 'decTtl' } : randomOutput(random)
  }
}

/** A flow that a switch accepts. */
export function randomFlow(random: SeededRandom): Flow {
  const protocol = random.pick(protocols)
  const table = random.below(200)
  const actions = Array.from({ length: random.below(5) }, () => randomAction(random, protocol))
  const allowed = actions.filter(
    (action) => action.type !== 'decTtl' || protocol.gives.includes('ip'),
  )
  const jump: Action[] = random.chance(0.4)
    ? [{ type: 'goto', table: table + 1 + random.below(50) }]
    : []
  return {
    table,
    priority: random.below(0x10000),
    cookie: random.bits(64),
    match: randomMatch(random, protocol),
    actions: [...allowed, ...jump],
    ...(random.chance(0.2) ? { idleTimeoutSeconds: 1_000 + random.below(60_000) } : {}),
    ...(random.chance(0.2) ? { hardTimeoutSeconds: 1_000 + random.below(60_000) } : {}),
    ...(random.chance(0.2) ? { sendFlowRemoved: true } : {}),
  }
}
