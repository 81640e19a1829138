import { PlatformError } from '@nubo/base'
import type { World } from './world.ts'

/**
 * One page of a list, in order of ids (which is the order of creation). The cursor is the last id of the page before,
 * so rows that come or go between pages neither repeat nor hide others.
 */
export async function page<Row extends { readonly id: string }, View>(
  world: World,
  query: { limit: number; cursor?: string | undefined; minRevision?: number | undefined },
  list: {
    rows: readonly Row[] | (() => readonly Row[])
    view: (row: Row) => View
    newestFirst?: boolean
  },
): Promise<{ items: View[]; revision: number; cursor: string | null }> {
  if (query.minRevision !== undefined) await world.reached(query.minRevision)
  if (query.cursor !== undefined && !/^[0-9a-f-]{36}$/.test(query.cursor)) {
    throw new PlatformError('INVALID_INPUT', {
      field: 'cursor',
      next: 'use the cursor of the page before',
    })
  }
  const rows = typeof list.rows === 'function' ? list.rows() : list.rows
  const sign = list.newestFirst === true ? -1 : 1
  const { cursor } = query
  const rest = rows
    .filter((row) => cursor === undefined || (sign > 0 ? row.id > cursor : row.id < cursor))
    .toSorted((a, b) => (a.id < b.id ? -sign : sign))
  const items = rest.slice(0, query.limit)
  const last = items.at(-1)
  return {
    items: items.map(list.view),
    revision: world.revision,
    cursor: rest.length > items.length && last !== undefined ? last.id : null,
  }
}
