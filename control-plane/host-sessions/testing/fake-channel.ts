import {
  HOST_CONTRACT_LATEST,
  hostCodec,
  type AgentMessage,
  type HostContract,
  type ServerMessage,
} from '@nubo/contracts/host'
import type { HostChannel } from '../needs.ts'

/** The server's end of a connection whose agent is the test. */
export class FakeChannel implements HostChannel {
  readonly contract: HostContract
  /** The texts as they went over the line. */
  readonly texts: string[] = []
  /** What the agent would have received, checked against the contract. */
  readonly received: ServerMessage[] = []
  closed: { code: number; reason: string } | undefined
  bufferedBytes = 0
  #onMessage: (text: string) => void = () => {}
  #onClose: () => void = () => {}

  constructor(contract: HostContract = HOST_CONTRACT_LATEST) {
    this.contract = contract
  }

  send(text: string): void {
    if (this.closed !== undefined) return
    const parsed = hostCodec(this.contract).parseServerMessage(JSON.parse(text))
    if (!parsed.success) throw parsed.error
    this.texts.push(text)
    this.received.push(parsed.data)
  }

  close(code: number, reason: string): void {
    if (this.closed !== undefined) return
    this.closed = { code, reason }
    this.#onClose()
  }

  onMessage(listener: (text: string) => void): void {
    this.#onMessage = listener
  }

  onClose(listener: () => void): void {
    this.#onClose = listener
  }

  /** As the agent. */
  say(message: AgentMessage): void {
    const text = hostCodec(this.contract).encodeAgentMessage(message)
    if (text !== undefined) this.sayText(text)
  }

  sayText(text: string): void {
    if (this.closed === undefined) this.#onMessage(text)
  }

  /** The agent's end of the line is cut. */
  cut(): void {
    this.close(1006, 'cut')
  }

  take<Type extends ServerMessage['type']>(type: Type): Extract<ServerMessage, { type: Type }>[] {
    const taken: Extract<ServerMessage, { type: Type }>[] = []
    for (const message of this.received.splice(0)) {
      // proof: narrowed by the very field that the type is picked by
      if (message.type === type) taken.push(message as Extract<ServerMessage, { type: Type }>)
      else this.received.push(message)
    }
    return taken
  }
}
