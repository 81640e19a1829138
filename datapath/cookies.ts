/**
 * Who owns a flow, readable from any dump: round (16 bits) | feature (8) | kind of object (8) | object (32).
 */
export interface Cookie {
  /** Which life of the agent wrote it. Flows that did not change keep the round that first wrote them. */
  readonly round: number
  readonly feature: FeatureName
  readonly kind: ObjectKind
  /** Hash of the object's id: enough to recognise an owner that one looks for, not to tell any two apart. */
  readonly object: number
}

/** Numbers of features. A number is never given to another feature: switches outlive agents. */
const featureNumbers = {
  'table-miss': 1,
  classify: 2,
  'anti-spoof': 3,
  arp: 4,
  gateway: 5,
  routing: 6,
  locate: 7,
  deliver: 8,
} as const
export type FeatureName = keyof typeof featureNumbers

/** Numbers of the kinds of objects that own flows; `host` owns what is there once per bridge. */
const kindNumbers = { host: 0, network: 1, subnet: 2, localPort: 3, remotePort: 4 } as const
export type ObjectKind = keyof typeof kindNumbers

export const ROUND_MAX = 0xffff

const ROUND_SHIFT = 48n
const FEATURE_SHIFT = 40n
const KIND_SHIFT = 32n

/** The bits that say who owns a flow, without the round. */
const OWNER_MASK = (1n << ROUND_SHIFT) - 1n

/** Throws a RangeError if `round` is not 0..65535 or `object` not an unsigned 32-bit number. */
export function packCookie({ round, feature, kind, object }: Cookie): bigint {
  checkRound(round)
  if (!Number.isInteger(object) || object < 0 || object > 0xffff_ffff) {
    throw new RangeError(`cookie: object ${object} is not a 32-bit number`)
  }
  return (
    (BigInt(round) << ROUND_SHIFT) |
    (BigInt(featureNumbers[feature]) << FEATURE_SHIFT) |
    (BigInt(kindNumbers[kind]) << KIND_SHIFT) |
    BigInt(object)
  )
}

/** Undefined if the feature or the kind is unknown: not our flow, or one of a version that we do not know. */
export function unpackCookie(cookie: bigint): Cookie | undefined {
  const feature = nameOf(featureNumbers, Number((cookie >> FEATURE_SHIFT) & 0xffn))
  const kind = nameOf(kindNumbers, Number((cookie >> KIND_SHIFT) & 0xffn))
  if (feature === undefined || kind === undefined) return undefined
  const round = Number((cookie >> ROUND_SHIFT) & 0xffffn)
  return { round, feature, kind, object: Number(cookie & 0xffff_ffffn) }
}

/** Whether two cookies name the same owner, whatever their rounds. */
export function sameOwner(a: bigint, b: bigint): boolean {
  return (a & OWNER_MASK) === (b & OWNER_MASK)
}

/** Throws a RangeError unless `round` is 0..65535. */
export function checkRound(round: number): void {
  if (!Number.isInteger(round) || round < 0 || round > ROUND_MAX) {
    throw new RangeError(`cookie: round ${round} is not 0..${ROUND_MAX}`)
  }
}

/** 32-bit FNV-1a of an object's id (http://www.isthe.com/chongo/tech/comp/fnv/). */
export function hashObjectId(id: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) {
    hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  }
  return hash >>> 0
}

function nameOf<Name extends string>(
  table: Readonly<Record<Name, number>>,
  wanted: number,
): Name | undefined {
  for (const name in table) if (table[name] === wanted) return name
  return undefined
}
