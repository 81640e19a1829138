import { OvsdbError } from './errors.ts'
import type { Row } from './replica.ts'
import type { Atom, Uuid, Value } from './value.ts'

// Typed reading of rows. All throw kind `value` when the column is not replicated or has another type:
// that is a defect of the caller, not of the database.

/** A column of exactly one string. */
export function textOf(row: Row, column: string): string {
  const value = valueOf(row, column)
  if (typeof value === 'string') return value
  throw wrongType(column)
}

/** A column of exactly one integer or real. */
export function numberOf(row: Row, column: string): number {
  const value = valueOf(row, column)
  if (typeof value === 'number') return value
  throw wrongType(column)
}

/** A column of at most one string. */
export function optionalTextOf(row: Row, column: string): string | undefined {
  const value = optionalOf(row, column)
  if (value === undefined || typeof value === 'string') return value
  throw wrongType(column)
}

/** A column of at most one integer or real. */
export function optionalNumberOf(row: Row, column: string): number | undefined {
  const value = optionalOf(row, column)
  if (value === undefined || typeof value === 'number') return value
  throw wrongType(column)
}

/** A column of any number of references. */
export function uuidsOf(row: Row, column: string): ReadonlySet<Uuid> {
  const value = valueOf(row, column)
  // The schema decides between strings and UUIDs; a caller who asks for UUIDs names a reference column.
  if (value instanceof Set) return value as ReadonlySet<Uuid>
  throw wrongType(column)
}

/** A column of any number of strings. */
export function textsOf(row: Row, column: string): ReadonlySet<string> {
  const value = valueOf(row, column)
  if (value instanceof Set && Array.from(value).every((item) => typeof item === 'string')) {
    return value as ReadonlySet<string> // Every element was looked at.
  }
  throw wrongType(column)
}

/** A map of strings: external_ids, options, other_config. */
export function textMapOf(row: Row, column: string): ReadonlyMap<string, string> {
  const value = valueOf(row, column)
  if (value instanceof Map && Array.from(value).every(isTextPair)) {
    return value as ReadonlyMap<string, string> // Every pair was looked at.
  }
  throw wrongType(column)
}

function isTextPair([key, item]: [unknown, unknown]): boolean {
  return typeof key === 'string' && typeof item === 'string'
}

function optionalOf(row: Row, column: string): Atom | undefined {
  const value = valueOf(row, column)
  if (!(value instanceof Set) || value.size > 1) throw wrongType(column)
  const [only] = value as ReadonlySet<Atom> // Sets of a replica hold atoms.
  return only
}

function valueOf(row: Row, column: string): Value {
  const value = row[column]
  if (value === undefined) {
    throw new OvsdbError('value', { error: 'not a replicated column', details: column })
  }
  return value
}

function wrongType(column: string): OvsdbError {
  return new OvsdbError('value', { error: 'a column of another type', details: column })
}
