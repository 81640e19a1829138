import { protocol, type PGlite } from '@electric-sql/pglite'

interface Prepared {
  readonly name: string
  readonly parameterTypes: readonly number[]
  readonly fields: readonly Field[]
}

interface Field {
  readonly name: string
  /** Undefined for what is read as text. */
  readonly parse: ((text: string) => unknown) | undefined
}

export interface EngineResult<Row> {
  readonly rows: Row[]
  readonly affectedRows: number
}

/** Statements that are kept; lists of different lengths make different ones. */
const STATEMENTS_MAX = 600
const { serialize, messages } = protocol
const EXECUTE_AND_SYNC = Buffer.concat([serialize.execute({}), serialize.sync()])

/** First letters of the messages that matter (PostgreSQL 17, 53.7 "Message Formats"). */
const DATA_ROW = 0x44
const COMMAND_COMPLETE = 0x43
/** ErrorResponse, NotificationResponse, ParameterDescription, RowDescription; the others only say that all is well. */
const TOLD = new Set(Buffer.from('EAtT', 'latin1'))
/** Numbers of types, `pg_type.oid`. */
const TEXTS = new Set([25, 1043, 2950])

/**
 * One engine's statements, each parsed and planned once and then only bound, since that is most of what a short statement
 * costs, and the simulator asks the same few hundred for hours. Works at once: no moment lies between question and answer.
 */
export class PreparedEngine {
  readonly #pglite: PGlite
  readonly #prepared = new Map<string, Prepared>()
  /** Told while a statement that notifies is asked. */
  onNotification: (channel: string, payload: string) => void = () => undefined

  constructor(pglite: PGlite) {
    this.#pglite = pglite
    // One plan whatever the values: what a statement does must not hang on how often it was asked before.
    this.query('set plan_cache_mode = force_generic_plan', [])
    // It never crashes (its restarts are simulated by whoever asks), and nobody reads its statistics.
    for (const name of ['synchronous_commit', 'track_counts', 'track_activities'])
      this.query(`set ${name} = off`, [])
  }

  /** Throws what the engine answers with, with its `code` (SQLSTATE). */
  query<Row>(text: string, parameters: readonly unknown[]): EngineResult<Row> {
    const { name, fields, parameterTypes } = this.#prepared.get(text) ?? this.#prepare(text)
    const values = parameters.map((value, index) =>
      this.#written(value, parameterTypes[index] ?? 0),
    )
    const rows: Row[] = []
    let affectedRows = 0
    this.#exchange(bindAndExecute(name, values), (kind, body) => {
      // proof: whoever asks names the type of the rows, as with any driver
      if (kind === DATA_ROW) rows.push(rowOf(fields, body) as Row)
      else if (kind === COMMAND_COMPLETE) affectedRows = affectedBy(body)
      else return false
      return true
    })
    return { rows, affectedRows }
  }

  #prepare(text: string): Prepared {
    if (this.#prepared.size >= STATEMENTS_MAX) {
      this.#exchange(serialize.query('deallocate all'))
      this.#prepared.clear()
    }
    const name = `s${this.#prepared.size}`
    const asked = [serialize.parse({ name, text }), serialize.describe({ type: 'S', name })]
    let parameterTypes: number[] = []
    let fields: Field[] = []
    for (const message of this.#exchange(Buffer.concat([...asked, serialize.sync()]))) {
      if (message instanceof messages.ParameterDescriptionMessage)
        parameterTypes = message.dataTypeIDs
      else if (message instanceof messages.RowDescriptionMessage)
        fields = message.fields.map((field) => this.#fieldOf(field))
    }
    const prepared = { name, parameterTypes, fields }
    this.#prepared.set(text, prepared)
    return prepared
  }

  #fieldOf({ name, dataTypeID }: { name: string; dataTypeID: number }): Field {
    return { name, parse: TEXTS.has(dataTypeID) ? undefined : this.#pglite.parsers[dataTypeID] }
  }

  #written(value: unknown, type: number): string | null {
    if (value === null || value === undefined) return null
    const serializer = this.#pglite.serializers[type] ?? String
    return String(serializer(value))
  }

  /** Asks, and gives the messages that `take` did not take; throws the first error. */
  #exchange(
    asked: Uint8Array,
    take: (kind: number, body: Buffer) => boolean = () => false,
  ): unknown[] {
    const pieces: Buffer[] = []
    let defect: unknown
    // Without the write to a file system nothing in it waits: it has happened when the call returns.
    this.#pglite
      .execProtocolRawStream(asked, {
        syncToFs: false,
        onRawData: (piece) => void pieces.push(Buffer.from(piece)),
      })
      .catch((error: unknown) => (defect = error))
    if (defect !== undefined) throw new Error('the engine broke', { cause: defect })
    const answer = Buffer.concat(pieces)
    const left: unknown[] = []
    for (let at = 0; at < answer.length;) {
      const end = at + 1 + answer.readInt32BE(at + 1)
      const kind = answer[at] ?? 0
      if (!take(kind, answer.subarray(at + 5, end)) && TOLD.has(kind))
        new protocol.Parser().parse(answer.subarray(at, end), (message) => left.push(message))
      at = end
    }
    return left.filter((message) => !this.#hasSeen(message))
  }

  #hasSeen(message: unknown): boolean {
    if (message instanceof messages.DatabaseError) throw message
    if (!(message instanceof messages.NotificationResponseMessage)) return false
    this.onNotification(message.channel, message.payload)
    return true
  }
}

/** Bind of all values as text, Execute and Sync. */
function bindAndExecute(statement: string, values: readonly (string | null)[]): Buffer {
  const lengths = values.map((value) => (value === null ? -1 : Buffer.byteLength(value)))
  const length = lengths.reduce((sum, one) => sum + 4 + Math.max(one, 0), statement.length + 12)
  const message = Buffer.allocUnsafe(1 + length + EXECUTE_AND_SYNC.length)
  message[0] = 0x42
  message.writeInt32BE(length, 1)
  // The portal without a name.
  message[5] = 0
  let at = 6 + message.write(`${statement}\0`, 6, 'latin1')
  at = message.writeInt16BE(0, at)
  at = message.writeUInt16BE(values.length, at)
  for (const [index, value] of values.entries()) {
    at = message.writeInt32BE(lengths[index] ?? -1, at)
    if (value !== null) at += message.write(value, at, 'utf8')
  }
  at = message.writeInt16BE(0, at)
  EXECUTE_AND_SYNC.copy(message, at)
  return message
}

/** A count, then length and text of each value; −1 for null. */
function rowOf(fields: readonly Field[], body: Buffer): object {
  const row: Record<string, unknown> = {}
  let at = 2
  for (const { name, parse } of fields) {
    const length = body.readInt32BE(at)
    at += 4
    if (length < 0) {
      row[name] = null
      continue
    }
    const text = body.toString('utf8', at, at + length)
    row[name] = parse === undefined ? text : parse(text)
    at += length
  }
  return row
}

/** The last word of a command's tag, such as `INSERT 0 3`. */
function affectedBy(body: Buffer): number {
  const tag = body.toString('latin1', 0, body.length - 1)
  return /^(INSERT|UPDATE|DELETE|MERGE)/.test(tag) ? Number(tag.slice(tag.lastIndexOf(' ') + 1)) : 0
}
