import type { HostContract } from '@nubo/contracts/host'

/**
 * How the agent reaches a server. Production dials a WebSocket over mTLS; the simulator passes one in memory.
 * Messages are the JSON texts of the host contract: both ends check what they receive.
 */
export interface ServerChannel {
  /** The version that the server speaks on this connection. */
  readonly contract: HostContract
  /** Queues a text; does nothing once closed. */
  send(text: string): void
  /** Bytes that were sent and have not left this process. */
  readonly bufferedBytes: number
  /** Idempotent; `onClose` is called once, with this reason or the peer's. */
  close(reason: string): void
}

export interface ChannelHandlers {
  onText(text: string): void
  onClose(reason: string): void
}

export interface ServerConnector {
  /**
   * Connects to 'address:port' in the first of `contracts` that the server knows. Rejects when the server cannot be
   * reached, knows none of them, does not prove who it is, or `signal` aborts.
   * Handlers are not called before the promise has resolved.
   */
  connect(
    server: string,
    handlers: ChannelHandlers,
    signal: AbortSignal,
    contracts: readonly HostContract[],
  ): Promise<ServerChannel>
}
