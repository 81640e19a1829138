import { ByteReader } from './bytes.ts'
import { OpenFlowRemoteError, decodeError } from './error-message.ts'
import { OpenFlowDecodeError, type OpenFlowError } from './errors.ts'
import { NICIRA_MESSAGE, readNiciraSubtype } from './experimenter.ts'
import { decodeFlowRemoved, type FlowRemoved } from './flow-removed.ts'
import { MESSAGE_TYPE, type Message } from './message.ts'
import { decodePacketIn2, type PacketIn } from './packet-in.ts'
import { decodePortStatus, type PortStatus } from './port-messages.ts'
import type { OpenFlowVersion } from './version.ts'

/** What happens unasked. `error` is a refusal of a message that waits for no answer, or an event that cannot be read. */
export interface OpenFlowEvents {
  readonly packetIn: PacketIn
  readonly flowRemoved: FlowRemoved
  readonly portStatus: PortStatus
  readonly error: OpenFlowRemoteError | OpenFlowDecodeError
  readonly close: OpenFlowError
}

export type Listener<K extends keyof OpenFlowEvents> = (event: OpenFlowEvents[K]) => void

/** Listeners by event. A listener that throws is a bug of its owner: the exception goes to the process, not to the parser. */
export class Listeners {
  readonly #sets: { readonly [K in keyof OpenFlowEvents]: Set<Listener<K>> } = {
    packetIn: new Set(),
    flowRemoved: new Set(),
    portStatus: new Set(),
    error: new Set(),
    close: new Set(),
  }

  add<K extends keyof OpenFlowEvents>(event: K, listener: Listener<K>): () => void {
    const set: Set<Listener<K>> = this.#sets[event]
    // A function of our own, so that one listener added twice is called twice and taken off once.
    const own: Listener<K> = (value) => listener(value)
    set.add(own)
    return () => {
      set.delete(own)
    }
  }

  emit<K extends keyof OpenFlowEvents>(event: K, value: OpenFlowEvents[K]): void {
    const set: Set<Listener<K>> = this.#sets[event]
    for (const listener of set) {
      try {
        listener(value)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  /** Reads a message that nobody asked for and tells whom it concerns. Never throws. */
  emitMessage(message: Message, version: OpenFlowVersion): void {
    try {
      this.#emitDecoded(message, version)
    } catch (error) {
      if (!(error instanceof OpenFlowDecodeError)) throw error
      this.emit('error', error)
    }
  }

  #emitDecoded(message: Message, version: OpenFlowVersion): void {
    switch (message.type) {
      case MESSAGE_TYPE.error:
        this.emit('error', new OpenFlowRemoteError(decodeError(message.body)))
        return
      case MESSAGE_TYPE.flowRemoved:
        this.emit('flowRemoved', decodeFlowRemoved(message.body, version))
        return
      case MESSAGE_TYPE.portStatus:
        this.emit('portStatus', decodePortStatus(message.body))
        return
      case MESSAGE_TYPE.experimenter: {
        const reader = new ByteReader(message.body)
        if (readNiciraSubtype(reader) === NICIRA_MESSAGE.packetIn2) {
          this.emit('packetIn', decodePacketIn2(reader))
        }
        return
      }
      default:
      // Late answers to requests that were given up, and what newer switches may say.
    }
  }
}
