import type { HostId } from '@nubo/base'
import type { FoundInstance, Hello } from '@nubo/contracts/host'

/**
 * One connection of an agent, whatever carries it: a WebSocket (adapters/host-listener.ts) or a pair of queues in the
 * simulator. Messages keep their order. Listeners are set once, before the next turn of the event loop.
 */
export interface HostChannel {
  /** Never blocks and never throws; after the end it does nothing. */
  send(text: string): void
  /** What was sent but has not left yet. */
  readonly bufferedBytes: number
  /** Idempotent. `reason`: at most 123 bytes. */
  close(code: number, reason: string): void
  onMessage(listener: (text: string) => void): void
  /** Once, whoever ended it. */
  onClose(listener: () => void): void
}

/** What a certificate says about its bearer; chain and dates are checked already. */
export interface HostIdentity {
  readonly hostId: string
  /** Lower-case hex. */
  readonly serial: string
  /** When the certificate ends, and with it a session that began with it. Absent: never (simulated hosts). */
  readonly expiresAtMs?: number
}

/** Who is there, for all servers of the region; fleet implements it. */
export interface HostPresence {
  connected(
    hostId: HostId,
    hello: Hello,
    by: { serverName: string; sessionId: string },
  ): Promise<void>
  heard(hostId: HostId, sessionId: string): void
  /** Whether a heartbeat may be answered, which renews the host's lease. */
  mayGrantLease(hostId: HostId, sessionId: string): boolean
  /** A host that returns after it was fenced has nothing of an older placement left. Idempotent. */
  cleaned(hostId: HostId, sessionId: string): Promise<void>
}

/** Who may be there; fleet implements it. */
export interface HostMembership {
  isAdmitted(identity: HostIdentity): boolean
}

/** A whole report of a host, its refused parts left out. */
export interface HostReport {
  readonly instances: readonly FoundInstance[]
  /** What is not `mentioned` does not exist on the host. */
  readonly full: boolean
  readonly mentioned: ReadonlySet<string>
  /** In which session it was said; what another server has still to record of an earlier one no longer counts. */
  readonly sessionId?: string
}

/** What hosts report; compute implements it. Called for one host at a time, with its own instances at their present epochs. */
export interface HostEvents {
  recordFound(hostId: HostId, report: HostReport): Promise<void>
}

/** Tells every server process of the region, this one too; a lost message is noticed by a deadline. */
export interface HostCommands {
  broadcast(payload: string): Promise<void>
  listen(onCommand: (payload: string) => void): Promise<void>
}

export type StreamFrame = string | Uint8Array

/** One side of an exec or logs stream. The rules of HostChannel hold here too. */
export interface StreamSocket {
  /** `sent` runs when the frame has left, or never if the socket ends first. */
  send(frame: StreamFrame, sent: () => void): void
  /** Stops reading; a few frames that were read already may still come. */
  pause(): void
  resume(): void
  close(code: number, reason: string): void
  onFrame(listener: (frame: StreamFrame) => void): void
  onClose(listener: () => void): void
}
