import type { HostContract } from '@nubo/contracts/host'

/** A WebSocket of contracts/public/stream.ts, seen from the host. Production dials a server over mTLS. */
export interface StreamSocket {
  /** In this version the server says what it wants. */
  readonly contract: HostContract
  sendText(text: string): void
  sendBytes(bytes: Uint8Array): void
  /** Bytes that were sent and have not left this process. */
  readonly bufferedBytes: number
  /** After what was sent has gone out. Idempotent. */
  close(): void
}

export interface StreamHandlers {
  onText(text: string): void
  onBytes(bytes: Uint8Array): void
  onClose(): void
}

export interface StreamDialer {
  /** `contracts`: the versions to try, best first. Handlers hear only of the connection that came. Rejects when the server cannot be reached, refuses the token, or `signal` aborts. */
  dial(
    request: { server: string; token: string; contracts: readonly HostContract[] },
    handlers: StreamHandlers,
    signal: AbortSignal,
  ): Promise<StreamSocket>
}
