import { duplexPair, type Duplex } from 'node:stream'

import { QmpClient, type QmpClientOptions } from '../client.ts'
import { ManualTimers, settle } from './manual-timers.ts'

export interface ReceivedCommand {
  readonly execute: string
  readonly arguments?: unknown
  readonly id: string
}

export const GREETING = {
  QMP: {
    version: { qemu: { micro: 22, minor: 2, major: 7 }, package: 'Debian' },
    capabilities: ['oob'],
  },
}

/** The other end of a connection, under the test's control: it records commands and answers only when told. */
export class ScriptedQemu {
  readonly clientEnd: Duplex
  readonly received: ReceivedCommand[] = []
  readonly #end: Duplex
  #text = ''

  constructor() {
    const [here, there] = duplexPair()
    this.clientEnd = there
    this.#end = here
    here.on('data', (chunk: Buffer) => {
      const lines = (this.#text + chunk.toString()).split('\n')
      this.#text = lines.pop() ?? ''
      // What the client sends is its own; tests look at the members that they expect.
      for (const line of lines) this.received.push(JSON.parse(line) as ReceivedCommand)
    })
    here.on('error', () => undefined)
  }

  get isOpen(): boolean {
    return !this.#end.destroyed && !this.#end.readableEnded
  }

  last(): ReceivedCommand {
    const command = this.received.at(-1)
    if (command === undefined) throw new Error('nothing was received')
    return command
  }

  send(...messages: readonly unknown[]): void {
    this.sendRaw(messages.map((message) => `${JSON.stringify(message)}\r\n`).join(''))
  }

  sendRaw(bytes: Buffer | string): void {
    this.#end.write(bytes)
  }

  /** Answers the newest command. */
  reply(value: unknown = {}): void {
    this.send({ return: value, id: this.last().id })
  }

  refuse(error: unknown): void {
    this.send({ id: this.last().id, error })
  }

  event(name: string, data?: unknown): void {
    const timestamp = { seconds: 1_700_000_000, microseconds: 250_000 }
    this.send({ timestamp, event: name, ...(data === undefined ? {} : { data }) })
  }

  end(): void {
    this.#end.end()
    this.#end.destroy()
  }
}

export interface OpenPair {
  readonly qemu: ScriptedQemu
  readonly client: QmpClient
  readonly timers: ManualTimers
}

/** A client that has been greeted and is ready. */
export async function openPair(options: Partial<QmpClientOptions> = {}): Promise<OpenPair> {
  const qemu = new ScriptedQemu()
  const timers = new ManualTimers()
  const opening = QmpClient.open(qemu.clientEnd, { random: () => 0.5, timers, ...options })
  qemu.send(GREETING)
  await settle()
  qemu.reply()
  return { qemu, timers, client: await opening }
}
