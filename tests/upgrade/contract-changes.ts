/** Compares the documents of two releases' public API: what of the newer one would not work with the older one. */

const REFERENCE = '#/components/schemas/'

interface Schema {
  readonly $ref?: string
  readonly type?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>
interface Call {
  readonly operationId: string
  readonly parameters?: readonly { readonly name: string; readonly required: boolean }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content: Content }>>
}
export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Call>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** Sentences; empty if clients and servers of both releases understand each other in all calls that both have. */
export function contractChanges(older: ApiDocument, newer: ApiDocument): string[] {
  const found: string[] = []
  for (const [path, calls] of Object.entries(older.paths)) {
    for (const [method, before] of Object.entries(calls)) {
      const after = newer.paths[path]?.[method]
      const at = `${method} ${path}`
      if (after === undefined) {
        found.push(`${at} is gone: older clients still call it`)
        continue
      }
      for (const { name } of before.parameters ?? [])
        if (!after.parameters?.some((one) => one.name === name))
          found.push(`${at}: the parameter ${name} is gone: older clients still send it`)
      for (const { name, required } of after.parameters ?? [])
        if (required && !before.parameters?.some((one) => one.name === name))
          found.push(`${at}: the new parameter ${name} is required: older clients do not send it`)
      const pairs = (content: Content | undefined) =>
        Object.values(content ?? {}).map(({ schema }) => schema)[0] ?? {}
      compare({
        at: `${at}: body`,
        sender: { document: older, schema: pairs(before.requestBody?.content) },
        receiver: { document: newer, schema: pairs(after.requestBody?.content) },
        isStrict: true,
        found,
      })
      const [replyBefore, replyAfter] = [replyOf(before), replyOf(after)]
      // An older server answers a newer client, and the reverse, where fields that the older one does not know are let be.
      const reply = { at: `${at}: reply`, isStrict: false, found }
      const [old, fresh] = [
        { document: older, schema: pairs(replyBefore) },
        { document: newer, schema: pairs(replyAfter) },
      ]
      compare({ ...reply, sender: old, receiver: fresh })
      compare({ ...reply, sender: fresh, receiver: old, areValuesKnown: false })
    }
  }
  return [...new Set(found)]
}

function replyOf({ responses }: Call): Content | undefined {
  return Object.entries(responses).find(([status]) => status !== 'default')?.[1].content
}

interface Side {
  readonly document: ApiDocument
  readonly schema: Schema
}

/** What `sender` says, `receiver` must understand. */
function compare(asked: {
  readonly at: string
  readonly sender: Side
  readonly receiver: Side
  /** Unknown fields are refused. */
  readonly isStrict: boolean
  readonly areValuesKnown?: boolean
  readonly found: string[]
}): void {
  const { at, isStrict, found } = asked
  const sent = resolved(asked.sender)
  const read = resolved(asked.receiver)
  const unknown = (sent.enum ?? []).filter((value) => read.enum?.includes(value) === false)
  if (unknown.length > 0 && asked.areValuesKnown !== false)
    found.push(`${at}: ${unknown.join(', ')} is no longer understood`)
  const names = Object.keys(sent.properties ?? {})
  for (const name of read.required ?? [])
    if (sent.properties !== undefined && !names.includes(name))
      found.push(`${at}: ${name} is required, and the other release does not send it`)
  for (const [name, schema] of Object.entries(sent.properties ?? {})) {
    const inner = read.properties?.[name]
    if (inner !== undefined)
      compare({
        ...asked,
        at: `${at}.${name}`,
        sender: { document: asked.sender.document, schema },
        receiver: { document: asked.receiver.document, schema: inner },
      })
    else if (isStrict && read.properties !== undefined)
      found.push(`${at}: ${name} is unknown to the other release, which refuses it`)
  }
  if (sent.items !== undefined && read.items !== undefined)
    compare({
      ...asked,
      at: `${at}[]`,
      sender: { document: asked.sender.document, schema: sent.items },
      receiver: { document: asked.receiver.document, schema: read.items },
    })
}

/** Without names and without the null of what may be null; other unions stay as they are, and are not looked into. */
function resolved({ document, schema }: Side): Schema {
  const members = schema.anyOf?.filter(({ type }) => type !== 'null')
  const [only] = members ?? []
  if (only !== undefined && members?.length === 1) return resolved({ document, schema: only })
  const named = document.components.schemas[schema.$ref?.slice(REFERENCE.length) ?? '']
  return named === undefined ? schema : resolved({ document, schema: named })
}
