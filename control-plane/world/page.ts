import { PlatformError } from '@nubo/base'
import { encode, Encoded, encodePage, WholeList } from '@nubo/runtime'
import type { RowRange } from './ordered-rows.ts'
import type { World, WorldReader } from './world.ts'

export interface ListAsked {
  readonly query: {
    readonly limit: number
    readonly cursor?: string | undefined
    readonly minRevision?: number | undefined
  }
  readonly wantsWhole: boolean
}

/** Which rows a list has. */
export interface Selection<Row> {
  /** In order of ids, from where the range says. Asked once, and read before the world changes. */
  readonly rows: (range: RowRange) => Iterable<Row>
  /** Which of the rows are meant. Must read nothing but the world that it is given. */
  readonly where?: ((world: WorldReader, row: Row) => boolean) | undefined
}

export interface Listed<Row, View> extends Selection<Row> {
  /** Must read nothing but the world that it is given. */
  readonly view: (world: WorldReader, row: Row) => View | Encoded<View>
  readonly newestFirst?: boolean
}

/**
 * A page of a list, or all of it, in order of ids (which is the order of creation). The cursor is the last id of the
 * page before, so rows that come or go between pages neither repeat nor hide others. All of it is as it was at one
 * revision, however long the reader takes.
 */
export async function page<Row extends { readonly id: string }, View>(
  world: World,
  { query, wantsWhole }: ListAsked,
  list: Listed<Row, View>,
): Promise<Encoded<{ items: View[]; revision: number; cursor: string | null }> | WholeList<View>> {
  if (query.minRevision !== undefined) await world.reached(query.minRevision)
  if (wantsWhole) return wholeList(world, list)
  if (query.cursor !== undefined && !/^[0-9a-f-]{36}$/.test(query.cursor)) {
    throw new PlatformError('INVALID_INPUT', {
      field: 'cursor',
      next: 'use the cursor of the page before',
    })
  }
  const { where, newestFirst } = list
  const rows: Row[] = []
  let isMore = false
  for (const row of list.rows({ after: query.cursor, newestFirst })) {
    if (where !== undefined && !where(world, row)) continue
    isMore = rows.length === query.limit
    if (isMore) break
    rows.push(row)
  }
  return encodePage({
    items: rows.map((row) => encoded(list.view(world, row))),
    revision: world.revision,
    cursor: isMore ? (rows.at(-1)?.id ?? null) : null,
  })
}

function wholeList<Row extends { readonly id: string }, View>(
  live: World,
  { rows, where, view, newestFirst }: Listed<Row, View>,
): WholeList<View> {
  // References only; what they refer to never changes.
  const all = [...rows({ newestFirst })]
  const snapshot = live.snapshot()
  const { world } = snapshot
  const items = function* (): Generator<Encoded<View>, undefined> {
    for (const row of all) {
      if (snapshot.isLost)
        throw new PlatformError('RESYNC', { from: world.revision, now: live.revision })
      if (where === undefined || where(world, row)) yield encoded(view(world, row))
    }
  }
  return new WholeList({
    revision: world.revision,
    items: items(),
    close: () => snapshot.close(),
  })
}

function encoded<View>(view: View | Encoded<View>): Encoded<View> {
  return view instanceof Encoded ? view : encode(view)
}
