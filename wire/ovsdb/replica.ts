import { OvsdbError } from './errors.ts'
import {
  applyDifference,
  decodeValue,
  defaultValue,
  type ColumnType,
  type DatabaseSchema,
} from './schema.ts'
import { isUuid, sameValue, type Uuid, type Value } from './value.ts'

/** Which columns of which tables a replica holds. */
export type ReplicaTables = Readonly<Record<string, readonly string[]>>

/** A row of the replica: immutable, a change makes a new one. Columns are those of `ReplicaTables`. */
export type Row = Readonly<Record<string, Value>>

/** `old` is absent for a new row, `new` for a deleted one. */
export interface RowChange {
  readonly table: string
  readonly uuid: Uuid
  readonly old: Row | undefined
  readonly new: Row | undefined
}

export type ReplicaListener = (changes: readonly RowChange[]) => void

type Columns = ReadonlyMap<string, ColumnType>

export const NO_TRANSACTION = '00000000-0000-0000-0000-000000000000'

/**
 * An in-memory copy of some columns of some tables, kept by a monitor (`OvsdbClient.monitor`) and read
 * synchronously. It outlives connections: a new monitor goes on where the last one stopped, or replaces the
 * contents; either way listeners see the difference and nothing else.
 */
export class Replica {
  readonly #wanted: ReplicaTables
  readonly #tables = new Map<string, Map<Uuid, Row>>()
  readonly #listeners = new Set<ReplicaListener>()
  #columns = new Map<string, Columns>()
  #lastTransaction: string = NO_TRANSACTION

  constructor(wanted: ReplicaTables) {
    this.#wanted = wanted
    for (const table of Object.keys(wanted)) this.#tables.set(table, new Map())
  }

  get wanted(): ReplicaTables {
    return this.#wanted
  }

  /** The server's id of the newest transaction contained, or `NO_TRANSACTION`. */
  get lastTransaction(): string {
    return this.#lastTransaction
  }

  /** Rows of a table by UUID; a live view. Throws kind `value` if the table is not replicated. */
  table(name: string): ReadonlyMap<Uuid, Row> {
    const rows = this.#tables.get(name)
    if (rows === undefined) {
      throw new OvsdbError('value', { error: 'not a replicated table', details: name })
    }
    return rows
  }

  /**
   * Calls `listener` after every update with all row changes of that update, the replica being new already.
   * A listener that throws takes the process down, as any uncaught error does. Returns a function that ends it.
   */
  onChange(listener: ReplicaListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Prepares for a server with this schema; throws kind `value` if it lacks a wanted table or column.
   * If a column has another type than before, the next monitor starts from nothing.
   */
  adopt(schema: DatabaseSchema): void {
    const next = new Map<string, Columns>()
    for (const [table, names] of Object.entries(this.#wanted)) {
      const types = schema.tables.get(table)
      const columns = new Map<string, ColumnType>()
      for (const name of names) {
        const type = types?.get(name)
        if (type === undefined) {
          throw new OvsdbError('value', {
            error: 'the database lacks a column',
            details: `${table}.${name}`,
          })
        }
        columns.set(name, type)
      }
      next.set(table, columns)
    }
    if (!sameTypes(this.#columns, next)) this.#lastTransaction = NO_TRANSACTION
    this.#columns = next
  }

  /**
   * Takes the first reply of a monitor: everything there is (`complete`) or what happened after `lastTransaction`.
   * All or nothing: malformed updates throw kind `protocol` and change nothing.
   */
  begin(updates: unknown, complete: boolean, lastTransaction: string): void {
    if (!complete) {
      this.update(updates, lastTransaction)
      return
    }
    const fresh = new Map<string, Map<Uuid, Row>>()
    for (const [table, uuid, update] of eachRow(updates)) {
      const rows = fresh.get(table) ?? new Map<Uuid, Row>()
      fresh.set(table, rows)
      const row = this.#nextRow(table, undefined, update)
      if (row !== undefined) rows.set(uuid, row)
    }
    this.#commit(this.#differencesTo(fresh), lastTransaction)
  }

  /** Takes the updates of an `update2` or `update3`. All or nothing, as `begin`. */
  update(updates: unknown, lastTransaction: string): void {
    const changes: RowChange[] = []
    for (const [table, uuid, update] of eachRow(updates)) {
      const old = this.#tables.get(table)?.get(uuid)
      const next = this.#nextRow(table, old, update)
      if (old !== undefined || next !== undefined) changes.push({ table, uuid, old, new: next })
    }
    this.#commit(changes, lastTransaction)
  }

  /** Forgets how far it is, so that the next monitor replaces the contents (which stay readable until then). */
  distrust(): void {
    this.#lastTransaction = NO_TRANSACTION
  }

  #commit(changes: readonly RowChange[], lastTransaction: string): void {
    for (const change of changes) {
      const rows = this.#tables.get(change.table)
      if (change.new === undefined) rows?.delete(change.uuid)
      else rows?.set(change.uuid, change.new)
    }
    this.#lastTransaction = lastTransaction
    if (changes.length === 0) return
    for (const listener of this.#listeners) {
      try {
        listener(changes)
      } catch (cause) {
        // Not an OvsdbError, whatever the listener threw: the peer is not to blame, the connection is fine.
        throw new Error('a listener of the replica failed', { cause })
      }
    }
  }

  /** What turns the present contents into `fresh`. */
  #differencesTo(fresh: ReadonlyMap<string, ReadonlyMap<Uuid, Row>>): RowChange[] {
    const changes: RowChange[] = []
    for (const [table, rows] of this.#tables) {
      const freshRows = fresh.get(table)
      for (const [uuid, old] of rows) {
        const next = freshRows?.get(uuid)
        if (next === undefined || !sameRow(old, next)) changes.push({ table, uuid, old, new: next })
      }
      for (const [uuid, next] of freshRows ?? []) {
        if (!rows.has(uuid)) changes.push({ table, uuid, old: undefined, new: next })
      }
    }
    return changes
  }

  #nextRow(table: string, old: Row | undefined, update: Record<string, unknown>): Row | undefined {
    const columns = this.#columns.get(table)
    if (columns === undefined) throw outOfStep(`an update of ${table}, which is not monitored`)
    if ('delete' in update) {
      if (old === undefined) throw outOfStep('the deletion of an unknown row')
      return undefined
    }
    if ('modify' in update) {
      if (old === undefined) throw outOfStep('the change of an unknown row')
      return modifiedRow(columns, old, asRecord(update['modify']))
    }
    if (old !== undefined) throw outOfStep('the insertion of a known row')
    return insertedRow(columns, asRecord(update['insert'] ?? update['initial']))
  }
}

function insertedRow(columns: Columns, values: Record<string, unknown>): Row {
  const row: Record<string, Value> = {}
  for (const [name, type] of columns) {
    const value = values[name]
    row[name] = value === undefined ? defaultValue(type) : decodeValue(type, value)
  }
  return row
}

function modifiedRow(columns: Columns, old: Row, values: Record<string, unknown>): Row {
  const row: Record<string, Value> = { ...old }
  for (const [name, value] of Object.entries(values)) {
    const type = columns.get(name)
    const before = old[name]
    if (type === undefined || before === undefined) throw outOfStep(`an update of column ${name}`)
    row[name] = applyDifference(type, before, decodeValue(type, value))
  }
  return row
}

/** `<table-updates2>`: table → row → what happened. */
function* eachRow(updates: unknown): Generator<[string, Uuid, Record<string, unknown>]> {
  for (const [table, rows] of Object.entries(asRecord(updates))) {
    for (const [uuid, update] of Object.entries(asRecord(rows))) {
      if (!isUuid(uuid)) throw outOfStep('a row without a UUID')
      yield [table, uuid, asRecord(update)]
    }
  }
}

function asRecord(json: unknown): Record<string, unknown> {
  // An object that is no array has string keys and unknown members: that is all the type says.
  if (json instanceof Object && !Array.isArray(json)) return json as Record<string, unknown>
  throw new OvsdbError('protocol', { error: 'malformed table updates' })
}

function outOfStep(what: string): OvsdbError {
  return new OvsdbError('protocol', { error: 'replica out of step', details: what })
}

function sameRow(a: Row, b: Row): boolean {
  const names = Object.keys(b)
  return (
    Object.keys(a).length === names.length && names.every((name) => sameValue(a[name], b[name]))
  )
}

function sameTypes(a: ReadonlyMap<string, Columns>, b: ReadonlyMap<string, Columns>): boolean {
  for (const [table, columns] of b) {
    for (const [name, type] of columns) {
      const before = a.get(table)?.get(name)
      if (before === undefined) return false
      if (before.key !== type.key || before.value !== type.value) return false
      if (before.min !== type.min || before.max !== type.max) return false
    }
  }
  return true
}
