import { z } from 'zod'

/**
 * Frames of an exec or logs WebSocket, between client and server and between server and host alike.
 * Binary messages: the first byte is the channel (0 stdin, 1 stdout, 2 stderr), the rest is bytes.
 * Text messages: one of `streamControl` as JSON. Credit: the sender of output stops when it has sent
 * STREAM_CREDIT_BYTES that were not acknowledged by `{type: 'credit', bytes}`.
 */
export const STREAM_CREDIT_BYTES = 256 * 1024
export const STREAM_FRAME_BYTES_MAX = 64 * 1024 + 1
export const streamChannel = { stdin: 0, stdout: 1, stderr: 2 } as const

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
  /** The end; for exec with the exit code, else with what went wrong. */
  z.strictObject({
    type: z.literal('end'),
    exitCode: z.int().nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  }),
])
export type StreamControl = z.infer<typeof streamControl>
