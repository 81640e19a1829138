import { z } from 'zod'

/**
 * Frames of an exec or logs WebSocket, between client and server and between server and host alike.
 * Binary messages: the first byte is the channel (0 stdin, 1 stdout, 2 stderr), the rest is bytes.
 * Text messages: one of `streamControl` as JSON. Credit: the sender of output stops when it has sent
 * STREAM_CREDIT_BYTES that were not acknowledged by `{type: 'credit', bytes}`.
 */
export const STREAM_CREDIT_BYTES = 256 * 1024
export const STREAM_FRAME_BYTES_MAX = 64 * 1024 + 1
/** A quarter of the credit, so that a client can keep what is not covered by a position yet, and go on reading. */
export const LOG_POSITION_BYTES = 64 * 1024
export const streamChannel = { stdin: 0, stdout: 1, stderr: 2 } as const

/** More than a set has containers. */
const CONTAINERS_MAX = 64

/**
 * How far a log was carried, for each container: the time stamp of the last entry, and how many entries with that very
 * stamp were carried (the pieces of one long line share theirs). With a count of 0, everything from that moment on is
 * still to come. Containers that are not in it have written nothing.
 */
export const logPosition = z
  .record(
    z.string().max(63),
    z.strictObject({
      /** Nanoseconds since 1970 by the clock of the host, in decimal: a number of JSON would lose the last digits. */
      atNs: z.string().regex(/^\d{1,19}$/),
      count: z.int().min(0),
    }),
  )
  .refine((position) => Object.keys(position).length <= CONTAINERS_MAX, {
    message: `at most ${CONTAINERS_MAX} containers`,
  })
export type LogPosition = z.infer<typeof logPosition>

export const streamControl = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('resize'),
    columns: z.int().min(1).max(1_000),
    rows: z.int().min(1).max(1_000),
  }),
  z.strictObject({
    type: z.literal('signal'),
    signal: z.enum(['INT', 'TERM', 'HUP', 'QUIT', 'KILL', 'USR1', 'USR2']),
  }),
  z.strictObject({ type: z.literal('stdin-end') }),
  z.strictObject({ type: z.literal('credit'), bytes: z.int().min(1) }),
  /**
   * From the host, on a log that was asked for with `positions`: all output before this frame belongs to entries up to
   * here. Only what has changed is in it; the first one comes at once, and says that the host has answered. At most
   * LOG_POSITION_BYTES of output, or one entry, come between two of them.
   */
  z.strictObject({ type: z.literal('position'), containers: logPosition }),
  /** From the host, on a log that was asked for with `after`: what this container wrote next may be gone in part. */
  z.strictObject({ type: z.literal('lost'), container: z.string().max(63) }),
  /** The end; for exec with the exit code, else with what went wrong. */
  z.strictObject({
    type: z.literal('end'),
    exitCode: z.int().nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  }),
])
export type StreamControl = z.infer<typeof streamControl>
