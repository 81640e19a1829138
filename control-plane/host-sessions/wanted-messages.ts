import {
  HOST_MESSAGE_BYTES_MAX,
  WANTED_ITEMS_PER_MESSAGE_MAX,
  type WantedItem,
} from '@nubo/contracts/host'

/** Well below the limit of a message: the largest item (a set with all its environment) fits in what is left. */
const UPSERT_BYTES_PER_MESSAGE_MAX = HOST_MESSAGE_BYTES_MAX / 2

/** The text of an item is also its fingerprint: items are built with their fields in one order. */
export function encodeItem(item: WantedItem): string {
  const known = encoded.get(item)
  if (known !== undefined) return known
  const text = JSON.stringify(item)
  encoded.set(item, text)
  return text
}

// Remote ports are one object for all hosts of a network, so their text is shared as well.
const encoded = new WeakMap<WantedItem, string>()

export interface WantedChange {
  readonly revision: number
  readonly full: boolean
  /** Texts of items. */
  readonly upserts: readonly string[]
  readonly removes: readonly string[]
}

/** The messages of one snapshot or delta, each within the limits of the contract; only the last one says `last`. */
export function* wantedMessages(change: WantedChange): Generator<string> {
  const { revision, full, upserts, removes } = change
  let upsertAt = 0
  let removeAt = 0
  do {
    const upsertEnd = endOfChunk(upserts, upsertAt)
    const removeEnd = Math.min(removes.length, removeAt + WANTED_ITEMS_PER_MESSAGE_MAX)
    const last = upsertEnd === upserts.length && removeEnd === removes.length
    const head = JSON.stringify({ type: 'wanted', revision, full, last }).slice(0, -1)
    const items = upserts.slice(upsertAt, upsertEnd).join(',')
    const gone = JSON.stringify(removes.slice(removeAt, removeEnd))
    yield `${head},"upserts":[${items}],"removes":${gone}}`
    upsertAt = upsertEnd
    removeAt = removeEnd
  } while (upsertAt < upserts.length || removeAt < removes.length)
}

function endOfChunk(texts: readonly string[], from: number): number {
  let bytes = 0
  let end = from
  while (end < texts.length && end - from < WANTED_ITEMS_PER_MESSAGE_MAX) {
    bytes += Buffer.byteLength(texts[end] ?? '') + 1
    if (bytes > UPSERT_BYTES_PER_MESSAGE_MAX && end > from) break
    end++
  }
  return end
}
