import type { WorldKind } from './commit.ts'

/**
 * What is kept of a row that is no longer the present one: whose it was and what it referred to. Rows themselves may be
 * large (the environments of a set's containers), and many thousand changes are remembered.
 */
export interface RowOutline {
  readonly projectId: string | null
  readonly name: string
  readonly hostId: string | null
  readonly networkId: string | null
  readonly subnetId: string | null
  readonly setId: string | null
  readonly vmId: string | null
  readonly wanted: string | null
  readonly imageIds: readonly string[]
}

/** One change of one row, without the row. */
export interface PastChange {
  readonly kind: WorldKind
  readonly id: string
  readonly before: RowOutline | undefined
  readonly after: RowOutline | undefined
}

export interface PastChangeSet {
  readonly revision: number
  readonly changes: readonly PastChange[]
}

/** Once for each row, however many watchers remember it. */
const outlines = new WeakMap<object, RowOutline>()

/** The fields of all tables that an outline is made of; a table has some of them. */
interface Fields {
  readonly id: string
  readonly projectId?: string | null
  readonly name?: string
  readonly resourceName?: string
  readonly hostId?: string | null
  readonly networkId?: string
  readonly subnetId?: string
  readonly setId?: string | null
  readonly vmId?: string | null
  readonly imageId?: string
  readonly wanted?: string
  readonly containers?: readonly { readonly imageId?: string }[]
}

/** Whose a row is, and what it is called. */
export type Owner = Pick<RowOutline, 'projectId' | 'name'>

/** Far cheaper than an outline where nothing is to be remembered. */
export function ownerOf(kind: WorldKind, row: { readonly id: string }): Owner {
  const { projectId, name, resourceName }: Fields = row
  return {
    projectId: kind === 'project' ? row.id : (projectId ?? null),
    name: name ?? resourceName ?? '',
  }
}

/** Pure; the outline of one and the same row is one and the same object. */
function rowOutline(kind: WorldKind, row: { readonly id: string }): RowOutline {
  const known = outlines.get(row)
  if (known !== undefined) return known
  const fields: Fields = row
  const outline: RowOutline = {
    ...ownerOf(kind, row),
    hostId: fields.hostId ?? null,
    networkId: fields.networkId ?? null,
    subnetId: fields.subnetId ?? null,
    setId: fields.setId ?? null,
    vmId: fields.vmId ?? null,
    wanted: fields.wanted ?? null,
    imageIds:
      fields.imageId === undefined
        ? (fields.containers ?? []).flatMap(({ imageId }) => imageId ?? [])
        : [fields.imageId],
  }
  outlines.set(row, outline)
  return outline
}

/** A change set without its rows. */
export function outlineOf({
  revision,
  changes,
}: {
  readonly revision: number
  readonly changes: readonly {
    readonly kind: WorldKind
    readonly id: string
    readonly before: { readonly id: string } | undefined
    readonly after: { readonly id: string } | undefined
  }[]
}): PastChangeSet {
  return {
    revision,
    changes: changes.map(({ kind, id, before, after }) => ({
      kind,
      id,
      before: before && rowOutline(kind, before),
      after: after && rowOutline(kind, after),
    })),
  }
}
