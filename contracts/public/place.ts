import { z } from 'zod'
import { idParams, inProject, listOf, listQuery, nameOrId, reason } from './common.ts'
import { defineRoute } from './route.ts'
import { reasonCount, setCreate } from './set.ts'

/** What one host says to a set: a score if it can take it, else the reason why not. */
export const hostVerdict = z
  .object({
    host: z.string(),
    zone: z.string(),
    rack: z.string(),
    /** Higher is better; null where it cannot take it. */
    score: z.number().nullable(),
    /** Null where it can take it. */
    reason: z.string().nullable(),
  })
  .meta({ id: 'HostVerdict' })
export type HostVerdict = z.infer<typeof hostVerdict>

/** A page of hosts in order of name; what stands beside them is of all hosts. */
export const placementAnswer = listOf(hostVerdict)
  .extend({
    /** The best host now; null if none can take it. */
    host: z.string().nullable(),
    score: z.number().nullable(),
    /** Present if no host can take it. */
    reason: reason.nullable(),
    /** The hosts that cannot take it, by reason. */
    counts: z.array(reasonCount),
  })
  .meta({ id: 'PlacementAnswer' })
export type PlacementAnswer = z.infer<typeof placementAnswer>

const { limit, minRevision } = listQuery
/** The cursor is the name of the last host of the page before. */
const pageOfHosts = { limit, minRevision, cursor: nameOrId.optional() }

export const placeRoutes = {
  placeDryRun: defineRoute({
    method: 'POST',
    path: '/v1/place',
    summary:
      'Tells where a set would be placed now and what every other host says. Reserves nothing and changes nothing.',
    access: 'member',
    query: z.strictObject({ ...inProject, ...pageOfHosts }),
    body: setCreate,
    reply: placementAnswer,
    status: 200,
  }),
  setPlacement: defineRoute({
    method: 'GET',
    path: '/v1/sets/:id/placement',
    summary: 'Tells what every host would say now to a set, as if it were on none.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject({ ...inProject, ...pageOfHosts }),
    reply: placementAnswer,
    status: 200,
  }),
}
