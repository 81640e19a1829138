import { chmodSync, closeSync, openSync, renameSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { PlatformError } from '@nubo/base'

/** What the agent keeps: small records of a few kinds, each owned by one module. */
export interface DiskRecord {
  readonly kind: string
  readonly key: string
  readonly value: string
}

export type DiskChange =
  | ({ readonly type: 'put' } & DiskRecord)
  | { readonly type: 'remove'; readonly kind: string; readonly key: string }
  /** Removes every record of the kind. */
  | { readonly type: 'clear'; readonly kind: string }

/** The agent's memory over restarts. */
export interface Disk {
  /** Every record of one kind, in no order. */
  load(kind: string): readonly DiskRecord[]
  /**
   * All-or-nothing, in order, and on stable storage when it returns.
   * Throws HOST_DISK_FULL where there is no room; then nothing has changed.
   */
  write(changes: readonly DiskChange[]): void
  /**
   * As `write`, without waiting for stable storage: the end of the agent loses nothing, a power cut may lose the last
   * ones. For what can be found out again.
   */
  writeSoon(changes: readonly DiskChange[]): void
  close(): void
}

/** A disk for simulated hosts and tests. It survives its agent as long as the caller holds it. */
export class MemoryDisk implements Disk {
  readonly #kinds = new Map<string, Map<string, string>>()

  load(kind: string): readonly DiskRecord[] {
    return [...(this.#kinds.get(kind) ?? [])].map(([key, value]) => ({ kind, key, value }))
  }

  kinds(): readonly string[] {
    return [...this.#kinds.keys()]
  }

  write(changes: readonly DiskChange[]): void {
    for (const change of changes) {
      if (change.type === 'clear') this.#kinds.delete(change.kind)
      else if (change.type === 'remove') this.#kinds.get(change.kind)?.delete(change.key)
      else {
        let records = this.#kinds.get(change.kind)
        if (records === undefined) this.#kinds.set(change.kind, (records = new Map()))
        records.set(change.key, change.value)
      }
    }
  }

  writeSoon(changes: readonly DiskChange[]): void {
    this.write(changes)
  }

  close(): void {}
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
  ) STRICT, WITHOUT ROWID`

/**
 * Opens, or makes, the agent's database, which only its owner can read. One process at a time: a second one gets SETUP_FAILED.
 * A damaged file is put aside as `<path>.damaged` and a new one begun, because the servers can send everything again;
 * `onDamaged` is told.
 */
export function openSqliteDisk(options: {
  path: string
  onDamaged: (cause: unknown) => void
}): Disk {
  try {
    return new SqliteDisk(options.path)
  } catch (cause) {
    if (sqliteCode(cause) === SQLITE_BUSY)
      throw new PlatformError(
        'SETUP_FAILED',
        { path: options.path, next: 'stop the other agent first' },
        { message: 'Another agent uses this state folder.', cause },
      )
    const code = sqliteCode(cause)
    if (code !== SQLITE_CORRUPT && code !== SQLITE_NOTADB) throw cause
    options.onDamaged(cause)
    renameSync(options.path, `${options.path}.damaged`)
    for (const suffix of ['-wal', '-shm']) {
      try {
        renameSync(`${options.path}${suffix}`, `${options.path}.damaged${suffix}`)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      }
    }
    return new SqliteDisk(options.path)
  }
}

// Primary result codes of SQLite (sqlite.org/rescode.html); extended ones hold them in their low byte.
const SQLITE_BUSY = 5
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_NOTADB = 26

function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : undefined
}

/** Environments of tenants lie there. What SQLite puts beside a database gets the mode of the database. */
function keepPrivate(path: string): void {
  if (path === ':memory:') return
  closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
}

class SqliteDisk implements Disk {
  readonly #database: DatabaseSync
  readonly #load: StatementSync
  readonly #put: StatementSync
  readonly #remove: StatementSync
  readonly #clear: StatementSync

  constructor(path: string) {
    keepPrivate(path)
    this.#database = new DatabaseSync(path)
    try {
      // EXCLUSIVE keeps a second agent out and needs no shared memory file; FULL puts each commit on stable storage.
      this.#database.exec('PRAGMA locking_mode = EXCLUSIVE')
      this.#database.exec('PRAGMA journal_mode = WAL')
      this.#database.exec('PRAGMA synchronous = FULL')
      this.#database.exec(SCHEMA)
      this.#load = this.#database.prepare('SELECT key, value FROM records WHERE kind = ?')
      this.#put = this.#database.prepare(
        'INSERT INTO records (kind, key, value) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value',
      )
      this.#remove = this.#database.prepare('DELETE FROM records WHERE kind = ? AND key = ?')
      this.#clear = this.#database.prepare('DELETE FROM records WHERE kind = ?')
      const check = this.#database.prepare('PRAGMA quick_check(1)').get()
      if (check?.['quick_check'] !== 'ok')
        throw Object.assign(new Error(`quick_check: ${String(check?.['quick_check'])}`), {
          errcode: SQLITE_CORRUPT,
        })
      // The lock of EXCLUSIVE mode is taken by the first write, not by opening.
      this.write([])
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  load(kind: string): readonly DiskRecord[] {
    return this.#load
      .all(kind)
      .map((row) => ({ kind, key: String(row['key']), value: String(row['value']) }))
  }

  write(changes: readonly DiskChange[]): void {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      for (const change of changes) {
        if (change.type === 'put') this.#put.run(change.kind, change.key, change.value)
        else if (change.type === 'remove') this.#remove.run(change.kind, change.key)
        else this.#clear.run(change.kind)
      }
      this.#database.exec('COMMIT')
    } catch (cause) {
      // A full disk can have rolled the transaction back by itself.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      if (sqliteCode(cause) === SQLITE_FULL)
        throw new PlatformError('HOST_DISK_FULL', { what: 'agent state' }, { cause })
      throw cause
    }
  }

  writeSoon(changes: readonly DiskChange[]): void {
    // In WAL mode NORMAL leaves out nothing but the fsync of a commit (sqlite.org/pragma.html#pragma_synchronous).
    this.#database.exec('PRAGMA synchronous = NORMAL')
    try {
      this.write(changes)
    } finally {
      this.#database.exec('PRAGMA synchronous = FULL')
    }
  }

  close(): void {
    this.#database.close()
  }
}
