import { OvsdbError } from './errors.ts'
import { encodeValue, isUuid, type Json, type Uuid, type WriteValue } from './value.ts'

/** Columns to write, by name. */
export type WriteRow = Readonly<Record<string, WriteValue>>

export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'includes' | 'excludes'
export type Condition = readonly [column: string, comparison: Comparison, value: WriteValue]

export type Mutator = '+=' | '-=' | '*=' | '/=' | '%=' | 'insert' | 'delete'
/** `delete` on a map takes a `Set` of keys, or a `Map` of pairs that must agree. */
export type Mutation = readonly [column: string, mutator: Mutator, value: WriteValue]

/** An operation in its wire form; made by the functions below, given to `transact`. */
export interface Operation {
  readonly op: string
  readonly [member: string]: Json
}

/** Every row of the table. */
export const everyRow: readonly Condition[] = []

/** The row of this identity. */
export function theRow(uuid: Uuid): readonly Condition[] {
  return [['_uuid', '==', { uuid }]]
}

/** Inserts a row. With `uuidName`, other operations of the transaction can refer to it (`referNamed`). */
export function insert(table: string, row: WriteRow, uuidName?: string): Operation {
  const base = { op: 'insert', table, row: encodeRow(row) }
  return uuidName === undefined ? base : { ...base, 'uuid-name': uuidName }
}

/** Sets columns of all rows that meet every condition. */
export function update(table: string, where: readonly Condition[], row: WriteRow): Operation {
  return { op: 'update', table, where: encodeConditions(where), row: encodeRow(row) }
}

/** Changes columns of all rows that meet every condition, relative to what they hold. */
export function mutate(
  table: string,
  where: readonly Condition[],
  mutations: readonly Mutation[],
): Operation {
  return {
    op: 'mutate',
    table,
    where: encodeConditions(where),
    mutations: mutations.map(([column, mutator, value]) => [column, mutator, encodeValue(value)]),
  }
}

/** Deletes all rows that meet every condition. Rows of non-root tables go by themselves with their last reference. */
export function deleteRows(table: string, where: readonly Condition[]): Operation {
  return { op: 'delete', table, where: encodeConditions(where) }
}

/** Reads columns of all rows that meet every condition, as the transaction sees them. */
export function select(
  table: string,
  where: readonly Condition[],
  columns: readonly string[],
): Operation {
  return { op: 'select', table, where: encodeConditions(where), columns }
}

/**
 * Fails the transaction with 'timed out' unless the rows that meet `where` are (`==`) or are not (`!=`) exactly
 * `rows`, in those columns, within `timeoutMs`; with 0 it is a test without waiting.
 */
export function wait(
  table: string,
  where: readonly Condition[],
  expected: {
    readonly columns: readonly string[]
    readonly until: '==' | '!='
    readonly rows: readonly WriteRow[]
    readonly timeoutMs: number
  },
): Operation {
  return {
    op: 'wait',
    table,
    where: encodeConditions(where),
    columns: expected.columns,
    until: expected.until,
    rows: expected.rows.map(encodeRow),
    timeout: expected.timeoutMs,
  }
}

/** Text for the server's log of this transaction. */
export function comment(text: string): Operation {
  return { op: 'comment', comment: text }
}

/** Fails the transaction unless this client owns the lock. */
export function assertLock(lock: string): Operation {
  return { op: 'assert', lock }
}

/** Fails the transaction always: for tests of what a failure leaves behind. */
export function abort(): Operation {
  return { op: 'abort' }
}

/** Result of one operation, as far as the operation has that member. */
export interface OperationResult {
  /** Identity of the inserted row. */
  readonly uuid?: Uuid
  /** Rows touched by update, mutate or delete. */
  readonly count?: number
  /** Rows read by select, in wire form. */
  readonly rows?: readonly unknown[]
}

/**
 * Reads the reply of `transact` for `operations` operations. Throws kind `transaction` for the first failed
 * operation (`operationIndex`), kind `protocol` if the reply does not fit the request.
 */
export function readResults(reply: unknown, operations: number): OperationResult[] {
  if (!Array.isArray(reply)) throw malformed()
  const items: readonly unknown[] = reply
  items.forEach((item, operationIndex) => {
    if (item instanceof Object && 'error' in item) throw operationError(item, operationIndex)
  })
  // One item more than operations is the failure of the commit, which has just been thrown.
  if (items.length !== operations) throw malformed()
  return items.map(readResult)
}

function operationError(item: object, operationIndex: number): OvsdbError {
  const { error, details }: { error?: unknown; details?: unknown } = item
  return new OvsdbError('transaction', {
    error: typeof error === 'string' ? error : JSON.stringify(error),
    details: typeof details === 'string' ? details : undefined,
    operationIndex,
  })
}

function readResult(item: unknown): OperationResult {
  if (!(item instanceof Object)) throw malformed()
  const { uuid, count, rows }: { uuid?: unknown; count?: unknown; rows?: unknown } = item
  const id: unknown = Array.isArray(uuid) ? uuid[1] : undefined
  return {
    ...(isUuid(id) ? { uuid: id } : {}),
    ...(typeof count === 'number' ? { count } : {}),
    ...(Array.isArray(rows) ? { rows } : {}),
  }
}

function encodeRow(row: WriteRow): Json {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => [column, encodeValue(value)]),
  )
}

function encodeConditions(where: readonly Condition[]): Json {
  return where.map(([column, comparison, value]) => [column, comparison, encodeValue(value)])
}

function malformed(): OvsdbError {
  return new OvsdbError('protocol', { error: 'malformed reply to a transaction' })
}
