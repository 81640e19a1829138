/** WebSocket close codes that hosts and clients see (RFC 6455, section 7.4; 4000–4999 are ours). */
export const closeCodes = {
  done: 1000,
  /** This server stops; another one serves. */
  goingAway: 1001,
  /** A defect of ours. */
  internal: 1011,
  /** The peer broke the contract. */
  violation: 4400,
  /** The host was removed, or joined anew and has another certificate. */
  revoked: 4403,
  /** Nothing was heard, or nothing was read, for too long. */
  silent: 4408,
  /** A newer session of the same host took over. */
  replaced: 4409,
  /** The server cannot admit the host now; the reason says why. */
  refused: 4503,
} as const

const REASON_BYTES_MAX = 123

/** Cut to what a close frame may carry. */
export function closeReason(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= REASON_BYTES_MAX) return text
  // A cut character becomes U+FFFD, which is three bytes long.
  return `${bytes.subarray(0, REASON_BYTES_MAX - 6).toString()}…`
}
