import { OvsdbError } from './errors.ts'

/** Identity of a row, in the lower-case form with dashes. A plain string at run time, so sets and maps of it work. */
export type Uuid = string & { readonly __kind: 'ovsdb-uuid' }

/** A UUID on its way to the server; the wire form differs from that of a string, hence the wrapper (`refer`). */
export interface UuidReference {
  readonly uuid: Uuid
}

/** A row inserted in the same transaction, by the `uuid-name` of its insert (`referNamed`). */
export interface NamedReference {
  readonly uuidName: string
}

/** What the replica holds. Integers beyond 2^53 (counters of long runs) are read as the nearest double. */
export type Atom = string | number | boolean | Uuid
export type Value = Atom | ReadonlySet<Atom> | ReadonlyMap<Atom, Atom>

/** What can be written. */
export type WriteAtom = string | number | boolean | UuidReference | NamedReference
export type WriteValue =
  | WriteAtom
  | ReadonlySet<WriteAtom>
  | readonly WriteAtom[]
  | ReadonlyMap<WriteAtom, WriteAtom>

/** JSON as it stands in a message. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json }

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
// RFC 7047 <id>.
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

export function isUuid(text: unknown): text is Uuid {
  return typeof text === 'string' && UUID.test(text)
}

/** Brands a UUID; throws `OvsdbError` of kind `value` if it is none. Upper case is accepted and lowered. */
export function toUuid(text: string): Uuid {
  const lowered = text.toLowerCase()
  if (!isUuid(lowered)) throw new OvsdbError('value', { error: 'not a UUID', details: text })
  return lowered
}

/** A reference to an existing row, for writing. */
export function refer(uuid: Uuid): UuidReference {
  return { uuid }
}

/** A reference to a row that the same transaction inserts under this `uuid-name`. */
export function referNamed(uuidName: string): NamedReference {
  if (!NAME.test(uuidName)) {
    throw new OvsdbError('value', { error: 'not a name for a row', details: uuidName })
  }
  return { uuidName }
}

/** Wire form of an atom. Throws kind `value` for numbers that OVSDB cannot hold exactly. */
export function encodeAtom(atom: WriteAtom): Json {
  switch (typeof atom) {
    case 'string':
    case 'boolean':
      return atom
    case 'number':
      if (Number.isSafeInteger(atom) || (Number.isFinite(atom) && !Number.isInteger(atom)))
        return atom
      throw new OvsdbError('value', { error: 'a number out of range', details: String(atom) })
    default:
      return 'uuid' in atom ? ['uuid', atom.uuid] : ['named-uuid', atom.uuidName]
  }
}

/** Wire form of a value: atoms bare, a `Set` or array as set, a `Map` as map. */
export function encodeValue(value: WriteValue): Json {
  if (value instanceof Map) {
    return ['map', Array.from(value, ([key, item]) => [encodeAtom(key), encodeAtom(item)])]
  }
  if (value instanceof Set) return ['set', Array.from(value, encodeAtom)]
  if (Array.isArray(value)) return ['set', value.map(encodeAtom)]
  // Map, Set and array are excluded above; narrowing does not see through the readonly interfaces.
  return encodeAtom(value as WriteAtom)
}

/** Whether two values are equal, order of sets and maps aside. */
export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true
  if (a instanceof Map && b instanceof Map) {
    if (a.size !== b.size) return false
    for (const [key, item] of a) if (!b.has(key) || b.get(key) !== item) return false
    return true
  }
  if (a instanceof Set && b instanceof Set) {
    if (a.size !== b.size) return false
    for (const item of a) if (!b.has(item)) return false
    return true
  }
  return false
}
