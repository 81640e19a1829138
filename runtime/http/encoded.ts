/** A value as its JSON text, so that what is asked for often is encoded once. */
export class Encoded<Value> {
  /** JSON without line ends. */
  readonly text: string
  /** Only for the compiler: texts of different values are different types. */
  declare readonly value?: Value

  constructor(text: string) {
    this.text = text
  }
}

export function encode<Value>(value: Value): Encoded<Value> {
  return new Encoded(JSON.stringify(value))
}

/** A page of a list whose items are encoded already. */
export function encodePage<Item>(page: {
  readonly items: readonly Encoded<Item>[]
  readonly revision: number
  readonly cursor: string | null
}): Encoded<{ items: Item[]; revision: number; cursor: string | null }> {
  const items = page.items.map(({ text }) => text).join(',')
  const rest = JSON.stringify({ revision: page.revision, cursor: page.cursor })
  return new Encoded(`{"items":[${items}],${rest.slice(1)}`)
}

/** All of a list at one revision, encoded as it is read. */
export class WholeList<Item> {
  readonly revision: number
  /** One at a time, at the pace of the reader. Throws when the revision can no longer be told. */
  readonly items: Iterable<Encoded<Item>>
  /** Must be called when no more is read. Idempotent. */
  readonly close: () => void

  constructor(parts: Pick<WholeList<Item>, 'revision' | 'items' | 'close'>) {
    this.revision = parts.revision
    this.items = parts.items
    this.close = parts.close
  }
}
