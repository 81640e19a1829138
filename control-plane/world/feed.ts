import { every, type Clock, type Timer } from '@nubo/base'
import type { Database, Log } from '@nubo/runtime'
import { camelKeys, FEED_CHANNEL, readTables, worldKinds, type WorldKind } from './commit.ts'
import type { Tables } from './tables.ts'
import type { World } from './world.ts'

/** A notification only wakes; the poll makes a lost one harmless. */
const POLL_PERIOD_MS = 1_000
const READ_ROWS_MAX = 5_000

interface FeedRow {
  readonly kind: WorldKind
  readonly id: string
  readonly body: { readonly id: string } | undefined
}

/** A row as it was read; a server of a newer release may have written it. */
interface ReadRow {
  readonly revision: number
  readonly kind: string
  readonly id: string
  readonly body: Record<string, unknown> | null
}

/**
 * Brings a world up from the tables and keeps it at the newest revision.
 * A gap (old rows were dropped while this process slept) makes it read the tables again and emit the difference.
 */
export class FeedReader {
  readonly #deps: { database: Database<Tables>; world: World; clock: Clock; log: Log }
  #poll: Timer | undefined
  #reading: Promise<void> | undefined
  /** Was asked for while a read was under way. */
  #wantedRevision = 0
  /** Of newer servers; each is logged once. */
  readonly #unknownKinds = new Set<string>()

  constructor(deps: { database: Database<Tables>; world: World; clock: Clock; log: Log }) {
    this.#deps = deps
  }

  /** The world is complete when this resolves. */
  async start(): Promise<void> {
    const loading = this.#load()
    // Notifications that come meanwhile wait, from the very first: two readers at once could take the world back in time,
    // and one that begins before the tables were read would go through all of the feed, whatever release wrote it.
    this.#reading = loading.catch(() => undefined)
    try {
      await loading
    } finally {
      this.#reading = undefined
    }
    this.wake()
    this.#poll = every(this.#deps.clock, POLL_PERIOD_MS, () => this.#readLogged())
  }

  async #load(): Promise<void> {
    await this.#deps.database.listen(FEED_CHANNEL, (payload) => this.wake(revisionOf(payload)))
    await this.#resync()
  }

  /**
   * Reads soon, unless the world is there already: this process hears of its own commits twice, by itself and by their
   * notifications. Without a revision it reads in any case.
   */
  wake(revision = Infinity): void {
    if (revision > this.#deps.world.revision) void this.#readLogged(revision)
  }

  async stop(): Promise<void> {
    this.#poll?.cancel()
    await this.#reading
  }

  async #readLogged(revision = Infinity): Promise<void> {
    if (this.#reading !== undefined) {
      this.#wantedRevision = Math.max(this.#wantedRevision, revision)
      return this.#reading
    }
    this.#reading = this.#readAll()
    return this.#reading
  }

  async #readAll(): Promise<void> {
    try {
      do {
        this.#wantedRevision = 0
        while (await this.#readBatch()) {
          // a full batch: more may be waiting
        }
      } while (this.#wantedRevision > this.#deps.world.revision)
    } catch (error) {
      this.#deps.log.warn('the feed could not be read; it is tried again', { error })
    } finally {
      // In the same turn as the last look at #wantedRevision, or a wake in between would be lost until the next poll.
      this.#reading = undefined
    }
  }

  async #readBatch(): Promise<boolean> {
    const { database, world } = this.#deps
    const found = await database.query
      .selectFrom('feed')
      .select(['revision', 'kind', 'id', 'body'])
      .where('revision', '>', world.revision)
      .orderBy('revision')
      .orderBy('sequence')
      .limit(READ_ROWS_MAX)
      .execute()
    const rows: readonly ReadRow[] = found
    // The last revision of a full batch may be cut in the middle: it is left for the next read.
    const isFull = found.length === READ_ROWS_MAX
    const lastRevision = rows.at(-1)?.revision
    const usable = !isFull
      ? rows
      : rows[0]?.revision === lastRevision
        ? await this.#readRevision(lastRevision ?? 0)
        : rows.filter((row) => row.revision !== lastRevision)
    for (const [revision, changes] of groupByRevision(usable)) {
      if (revision !== world.revision + 1) {
        this.#deps.log.warn('the feed has a gap; reading the tables again', {
          from: world.revision,
          to: revision,
        })
        await this.#resync()
        return true
      }
      world.apply(revision, this.#known(changes))
    }
    return isFull
  }

  /** All of one revision that is larger than a batch. */
  async #readRevision(revision: number): Promise<ReadRow[]> {
    return this.#deps.database.query
      .selectFrom('feed')
      .select(['revision', 'kind', 'id', 'body'])
      .where('revision', '=', revision)
      .orderBy('sequence')
      .execute()
  }

  /**
   * Without the kinds that only newer servers have: while a region is upgraded they run beside this one, and nothing here
   * depends on what it cannot know. The revision counts all the same, or this world would stand still.
   */
  #known(rows: readonly ReadRow[]): FeedRow[] {
    return rows.flatMap((row) => {
      const kind = worldKinds.find((known) => known === row.kind)
      if (kind !== undefined) return [toFeedRow(kind, row)]
      if (!this.#unknownKinds.has(row.kind)) {
        this.#unknownKinds.add(row.kind)
        this.#deps.log.warn('the feed has rows of a newer release, which are skipped', {
          kind: row.kind,
        })
      }
      return []
    })
  }

  async #resync(): Promise<void> {
    const { database, world } = this.#deps
    const { revision, rows } = await readTables(database)
    const changes: FeedRow[] = []
    const seen = new Set<string>()
    for (const { kind, body } of rows) {
      const row = withId(body)
      seen.add(`${kind}/${row.id}`)
      changes.push({ kind, id: row.id, body: row })
    }
    for (const kind of worldKinds) {
      for (const row of world[kind].values()) {
        if (!seen.has(`${kind}/${row.id}`)) changes.push({ kind, id: row.id, body: undefined })
      }
    }
    world.apply(revision, changes)
  }
}

/** Of a notification; one without (the listener was away for a while) may stand for any. */
function revisionOf(payload: string): number {
  const revision = Number(payload)
  return payload === '' || Number.isNaN(revision) ? Infinity : revision
}

function withId(body: Record<string, unknown>): { readonly id: string } {
  const id = body['id']
  if (typeof id !== 'string') throw new Error('a row of the feed has no id')
  return { ...body, id }
}

function toFeedRow(kind: WorldKind, row: ReadRow): FeedRow {
  return {
    kind,
    id: row.id,
    body: row.body === null ? undefined : withId(camelKeys(row.body)),
  }
}

function groupByRevision(rows: readonly ReadRow[]): Map<number, ReadRow[]> {
  const groups = new Map<number, ReadRow[]>()
  for (const row of rows) {
    const group = groups.get(row.revision)
    if (group === undefined) groups.set(row.revision, [row])
    else group.push(row)
  }
  return groups
}
