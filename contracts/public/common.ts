import { isUuid, parseCidr, parseIpv4, isMac } from '@nubo/base'
import { z } from 'zod'

/** Names people give: lower-case letters, digits and dashes, 1 to 63, as a DNS label (RFC 1123). */
export const name = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'use 1 to 63 lower-case letters, digits and dashes, no dash at the ends',
  )
  .meta({ id: 'Name' })

export const id = z.string().refine(isUuid, 'not an id (UUID)').meta({ id: 'Id', format: 'uuid' })
/** A resource may be named by its id or, within its project, by its name. */
export const nameOrId = z.union([id, name]).meta({ id: 'NameOrId' })

export const ipv4 = z
  .string()
  .refine((text) => parseIpv4(text) !== undefined, 'not an IPv4 address, for example 10.0.0.5')
  .meta({ id: 'Ipv4', format: 'ipv4' })
export const cidr = z
  .string()
  .refine(
    (text) => parseCidr(text) !== undefined,
    'not an IPv4 range without host bits, for example 10.0.0.0/24',
  )
  .meta({ id: 'Cidr' })
export const mac = z
  .string()
  .refine(isMac, 'not a MAC, for example 0a:00:00:00:00:01')
  .meta({ id: 'Mac' })

/** Milliseconds since the Unix epoch. */
export const timeMs = z.int().nonnegative()
export const labels = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9._/-]{0,62}$/), z.string().max(63))
  .refine((map) => Object.keys(map).length <= 32, 'at most 32 labels')
  .meta({ id: 'Labels' })

/** Something that is not as it should be, said with a code of the error catalogue and a sentence. */
export const reason = z
  .object({ code: z.string(), text: z.string().max(2_000) })
  .meta({ id: 'Reason' })
export type Reason = z.infer<typeof reason>

export const errorReply = z
  .strictObject({
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.unknown()),
    requestId: z.string(),
  })
  .meta({ id: 'Error' })
export type ErrorReply = z.infer<typeof errorReply>

/** Query of every project resource; without it the token's own project is meant. */
export const inProject = { project: nameOrId.optional() }

/** Of a reply that has all items of a list, one on each line. */
export const LINES_TYPE = 'application/x-ndjson'
/** At which revision a list of lines was taken. */
export const REVISION_HEADER = 'nubo-revision'

export const LIST_LIMIT_MAX = 1_000
export const listQuery = {
  limit: z.coerce.number().int().min(1).max(LIST_LIMIT_MAX).default(LIST_LIMIT_MAX),
  /** Opaque; from the previous page. */
  cursor: z.string().max(200).optional(),
  /** The list is at least as new as this revision, else the call waits for it (at most 10 s). */
  minRevision: z.coerce.number().int().nonnegative().optional(),
}

/**
 * The reply of a route of the form 'list'. With `Accept: application/x-ndjson` all items come instead of a page, one
 * on each line, as they were at the revision that the header tells; `limit` and `cursor` mean nothing then.
 */
export function listOf<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), revision: z.int(), cursor: z.string().nullable() })
}

/** What a reply of `listOf` has many of. */
export function itemOf(reply: z.ZodType): z.ZodType {
  const items: unknown = reply instanceof z.ZodObject ? reply.shape['items'] : undefined
  if (!(items instanceof z.ZodArray) || !(items.element instanceof z.ZodType))
    throw new Error('a route of the form list replies with listOf(…)')
  return items.element
}

export const idParams = z.strictObject({ id: nameOrId })
