/**
 * How the agent reaches a server. Production dials a WebSocket over mTLS; the simulator passes one in memory.
 * Messages are the JSON texts of the host contract: both ends check what they receive.
 */
export interface ServerChannel {
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
   * Connects to 'address:port'. Rejects when the server cannot be reached, does not prove who it is, or `signal` aborts.
   * Handlers are not called before the promise has resolved.
   */
  connect(server: string, handlers: ChannelHandlers, signal: AbortSignal): Promise<ServerChannel>
}
