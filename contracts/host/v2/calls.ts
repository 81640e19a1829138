import { z } from 'zod'
import { logPosition } from '../../public/stream.ts'
import { streamRequest as streamRequestBefore } from '../v1/calls.ts'

/**
 * First text message on a stream that the host dialled at /host/v2/streams/TOKEN. A log says how far it was carried, and
 * can be continued from there.
 */
const [exec, logs] = streamRequestBefore.options

export const streamRequest = z.discriminatedUnion('type', [
  exec,
  logs.extend({
    /** Send `position`, and `lost` where it applies (public/stream.ts). */
    positions: z.boolean(),
    /** Null: from the beginning, as `sinceMs` and `tail` say; they also hold for containers that are not in it. */
    after: logPosition.nullable(),
  }),
])
export type StreamRequest = z.infer<typeof streamRequest>
