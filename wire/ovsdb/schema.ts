import { OvsdbError } from './errors.ts'
import { isUuid, type Atom, type Json, type Uuid, type Value } from './value.ts'

export type AtomKind = 'integer' | 'real' | 'boolean' | 'string' | 'uuid'

/**
 * As much of RFC 7047 `<type>` as reading needs. What a server sends is not checked against ranges and
 * enumerations: the server has done that.
 */
export interface ColumnType {
  readonly key: AtomKind
  /** Present for maps. */
  readonly value: AtomKind | undefined
  readonly min: number
  /** `Infinity` for unlimited. */
  readonly max: number
}

export interface DatabaseSchema {
  readonly name: string
  readonly version: string | undefined
  readonly tables: ReadonlyMap<string, ReadonlyMap<string, ColumnType>>
}

/** Exactly one atom: read as the atom itself. Everything else is read as a `Set` or a `Map`. */
export function isScalar(type: ColumnType): boolean {
  return type.value === undefined && type.min === 1 && type.max === 1
}

/** Reads the reply of `get_schema`. Throws kind `protocol` if it is not a schema. */
export function parseSchema(json: unknown): DatabaseSchema {
  const schema = asObject(json, 'schema')
  const name = schema['name']
  if (typeof name !== 'string') throw malformed('schema name')
  const version = typeof schema['version'] === 'string' ? schema['version'] : undefined
  const tables = new Map<string, ReadonlyMap<string, ColumnType>>()
  for (const [table, body] of Object.entries(asObject(schema['tables'], 'tables'))) {
    const columns = new Map<string, ColumnType>([['_uuid', scalarType('uuid')]])
    for (const [column, rest] of Object.entries(
      asObject(asObject(body, table)['columns'], `columns of ${table}`),
    )) {
      columns.set(column, parseType(asObject(rest, column)['type']))
    }
    tables.set(table, columns)
  }
  return { name, version, tables }
}

function scalarType(key: AtomKind): ColumnType {
  return { key, value: undefined, min: 1, max: 1 }
}

function parseType(json: unknown): ColumnType {
  if (typeof json === 'string') return scalarType(atomKind(json))
  const type = asObject(json, 'type')
  const { key, value, min = 1, max = 1 } = type
  if (typeof min !== 'number' || (typeof max !== 'number' && max !== 'unlimited')) {
    throw malformed('bounds of a type')
  }
  return {
    key: baseKind(key),
    value: value === undefined ? undefined : baseKind(value),
    min,
    max: max === 'unlimited' ? Number.POSITIVE_INFINITY : max,
  }
}

function baseKind(json: unknown): AtomKind {
  return atomKind(typeof json === 'string' ? json : asObject(json, 'base type')['type'])
}

function atomKind(text: unknown): AtomKind {
  switch (text) {
    case 'integer':
    case 'real':
    case 'boolean':
    case 'string':
    case 'uuid':
      return text
    default:
      throw malformed('atomic type')
  }
}

const ZERO_UUID = '00000000-0000-0000-0000-000000000000'

/** The value of a column that an insert leaves out (RFC 7047, section 5.2.1). */
export function defaultValue(type: ColumnType): Value {
  if (isScalar(type)) return defaultAtom(type.key)
  if (type.value !== undefined) {
    return new Map(type.min === 0 ? [] : [[defaultAtom(type.key), defaultAtom(type.value)]])
  }
  return new Set(type.min === 0 ? [] : [defaultAtom(type.key)])
}

function defaultAtom(kind: AtomKind): Atom {
  switch (kind) {
    case 'integer':
    case 'real':
      return 0
    case 'boolean':
      return false
    case 'string':
      return ''
    case 'uuid':
      return ZERO_UUID as Uuid // It has the form of a UUID.
  }
}

/** Reads the wire form of a value of this type; throws kind `protocol` if it has another shape. */
export function decodeValue(type: ColumnType, json: unknown): Value {
  if (type.value !== undefined) return decodeMap(type.key, type.value, json)
  if (isScalar(type)) return decodeAtom(type.key, json)
  return decodeSet(type.key, json)
}

function decodeSet(kind: AtomKind, json: unknown): ReadonlySet<Atom> {
  // A set of one may come as the bare atom; an atom never begins with 'set'.
  if (!Array.isArray(json) || json[0] !== 'set') return new Set([decodeAtom(kind, json)])
  const items: unknown = json[1]
  if (json.length !== 2 || !Array.isArray(items)) throw malformed('set')
  return new Set(items.map((item) => decodeAtom(kind, item)))
}

function decodeMap(key: AtomKind, value: AtomKind, json: unknown): ReadonlyMap<Atom, Atom> {
  const items: unknown = Array.isArray(json) && json[0] === 'map' ? json[1] : undefined
  if (!Array.isArray(items)) throw malformed('map')
  return new Map(
    items.map((item: unknown) => {
      if (!Array.isArray(item) || item.length !== 2) throw malformed('map')
      return [decodeAtom(key, item[0]), decodeAtom(value, item[1])]
    }),
  )
}

function decodeAtom(kind: AtomKind, json: unknown): Atom {
  switch (kind) {
    case 'integer':
      if (typeof json === 'number' && Number.isInteger(json)) return json
      break
    case 'real':
      if (typeof json === 'number') return json
      break
    case 'boolean':
      if (typeof json === 'boolean') return json
      break
    case 'string':
      if (typeof json === 'string') return json
      break
    case 'uuid':
      if (Array.isArray(json) && json.length === 2 && json[0] === 'uuid' && isUuid(json[1])) {
        return json[1]
      }
      break
  }
  throw malformed(kind)
}

/** Wire form of a value that was read, by its type; the inverse of `decodeValue`. */
export function encodeTyped(type: ColumnType, value: Value): Json {
  const atom = (kind: AtomKind | undefined, item: Atom): Json =>
    kind === 'uuid' ? ['uuid', String(item)] : item
  if (value instanceof Map) {
    return [
      'map',
      Array.from(value, ([key, item]) => [atom(type.key, key), atom(type.value, item)]),
    ]
  }
  if (value instanceof Set) return ['set', Array.from(value, (item) => atom(type.key, item))]
  return atom(type.key, value as Atom) // Set and Map are excluded above.
}

/**
 * The new value of a column from its old one and the difference that an update2 or update3 carries:
 * a replacement for columns of at most one element, else the elements (or pairs) on one side only.
 */
export function applyDifference(type: ColumnType, old: Value, difference: Value): Value {
  if (type.max <= 1) return difference
  if (old instanceof Map && difference instanceof Map) {
    const next = new Map<Atom, Atom>(old)
    for (const [key, item] of difference) {
      // Gone in the new value: the difference repeats the old pair. Changed: it holds the new item.
      if (next.get(key) === item) next.delete(key)
      else next.set(key, item)
    }
    return next
  }
  if (old instanceof Set && difference instanceof Set) {
    const next = new Set<Atom>(old)
    for (const item of difference) if (!next.delete(item)) next.add(item)
    return next
  }
  throw malformed('difference')
}

function asObject(json: unknown, what: string): Record<string, unknown> {
  // An object that is no array has string keys and unknown members: that is all the type says.
  if (json instanceof Object && !Array.isArray(json)) return json as Record<string, unknown>
  throw malformed(what)
}

function malformed(what: string): OvsdbError {
  return new OvsdbError('protocol', { error: `malformed ${what}` })
}
