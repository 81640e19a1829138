import { duplexPair, type Duplex } from 'node:stream'

import { defaultJsonRpcLimits } from '../json-rpc.ts'
import { JsonSplitter } from '../json-splitter.ts'

export interface Received {
  readonly method: string
  readonly params: readonly unknown[]
  readonly id: unknown
}

/** The other end of a connection, under the test's control: it records requests and answers only when told. */
export class ScriptedServer {
  readonly clientEnd: Duplex
  readonly received: Received[] = []
  readonly texts: string[] = []
  readonly #end: Duplex

  constructor() {
    const [here, there] = duplexPair()
    this.clientEnd = there
    this.#end = here
    const splitter = new JsonSplitter(defaultJsonRpcLimits)
    here.on('data', (chunk: Buffer) => {
      this.texts.push(chunk.toString())
      // What the client sends are requests or answers; tests look at the members that they expect.
      splitter.push(chunk, (message) => this.received.push(message as unknown as Received))
    })
    here.on('error', () => undefined)
  }

  get isOpen(): boolean {
    return !this.#end.destroyed && !this.#end.readableEnded
  }

  last(): Received {
    const message = this.received.at(-1)
    if (message === undefined) throw new Error('nothing was received')
    return message
  }

  send(...messages: readonly unknown[]): void {
    this.#end.write(messages.map((message) => JSON.stringify(message)).join(''))
  }

  sendRaw(bytes: Buffer | string): void {
    this.#end.write(bytes)
  }

  reply(result: unknown): void {
    this.send({ result, error: null, id: this.last().id })
  }

  replyError(error: unknown): void {
    this.send({ result: null, error, id: this.last().id })
  }

  end(): void {
    this.#end.end()
    this.#end.destroy()
  }
}
