import { z } from 'zod'

/**
 * HTTPS calls of the host contract listener. All but `ca` and `join` need the host's certificate.
 *   GET  /host/v1/ca            the region's CA certificate as PEM (checked against the fingerprint in the token)
 *   POST /host/v1/join          joinRequest → certificateReply
 *   POST /host/v1/renew         renewRequest → certificateReply
 *   POST /host/v1/image-token   imageTokenRequest → imageTokenReply
 *   GET  /host/v<N>/session     WebSocket: messages.ts; N is the version that both speak on it (versions.ts)
 *   GET  /host/v<N>/streams/TOKEN WebSocket: public/stream.ts, opened by `streamRequest` of that version from the server
 */
export const joinRequest = z.strictObject({
  secret: z.string().max(200),
  hostName: z.string().max(63),
  /** PEM, PKCS #10; the key never leaves the host. */
  certificateRequest: z.string().max(10_000),
})
export const renewRequest = z.strictObject({ certificateRequest: z.string().max(10_000) })
export const certificateReply = z.strictObject({
  hostId: z.uuid(),
  certificate: z.string(),
  ca: z.string(),
  /** The agent renews at half of the time left. */
  expiresAtMs: z.int(),
})
export type CertificateReply = z.infer<typeof certificateReply>

export const imageTokenRequest = z.strictObject({ repository: z.string().max(300) })
/** A bearer token that may only pull this repository, for a few minutes. */
export const imageTokenReply = z.strictObject({
  registry: z.string(),
  token: z.string(),
  expiresAtMs: z.int(),
})

/** First text message on a stream that the host dialled. */
export const streamRequest = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('exec'),
    setId: z.uuid(),
    epoch: z.int(),
    container: z.string(),
    command: z.array(z.string()),
    tty: z.boolean(),
    stdin: z.boolean(),
    columns: z.int(),
    rows: z.int(),
  }),
  z.strictObject({
    type: z.literal('logs'),
    setId: z.uuid(),
    epoch: z.int(),
    /** Null: all containers, each line prefixed by its container's name. */
    container: z.string().nullable(),
    follow: z.boolean(),
    sinceMs: z.int().nullable(),
    tail: z.int().nullable(),
  }),
])
export type StreamRequest = z.infer<typeof streamRequest>

/** What a join token carries; its text form is made by `formatJoinToken`. */
export const joinToken = z.strictObject({
  v: z.literal(1),
  hostName: z.string(),
  caSha256: z.string().regex(/^[0-9a-f]{64}$/),
  secret: z.string(),
  servers: z.array(z.string()).min(1),
})
export type JoinToken = z.infer<typeof joinToken>

export function formatJoinToken(token: JoinToken): string {
  return `nubo-join-${Buffer.from(JSON.stringify(token)).toString('base64url')}`
}

/** Undefined if the text is no join token. */
export function parseJoinToken(text: string): JoinToken | undefined {
  if (!text.startsWith('nubo-join-') || text.length > 4_096) return undefined
  try {
    const parsed = joinToken.safeParse(
      JSON.parse(Buffer.from(text.slice(10), 'base64url').toString()),
    )
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}
