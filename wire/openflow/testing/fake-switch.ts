import type { Duplex } from 'node:stream'

import { decodeBundleControl, writeBundleControl } from '../bundle.ts'
import { ByteWriter } from '../bytes.ts'
import { MessageSplitter } from '../framing.ts'
import { writeHello } from '../hello.ts'
import { MESSAGE_TYPE, writeMessage, type Message } from '../message.ts'
import type { OpenFlowVersion } from '../version.ts'

export interface FakeSwitchOptions {
  readonly version: OpenFlowVersion
  /** Answers instead of the fake: 'default' leaves it to the fake, nothing is no answer at all. */
  readonly answer?: (message: Message, fake: FakeSwitch) => 'default' | undefined
}

/** The switch's end of a connection, which says yes to everything and remembers what it was sent. */
export class FakeSwitch {
  readonly received: Message[] = []
  readonly #stream: Duplex
  readonly #options: FakeSwitchOptions
  readonly #splitter = new MessageSplitter()

  constructor(stream: Duplex, options: FakeSwitchOptions) {
    this.#stream = stream
    this.#options = options
    stream.on('error', () => undefined)
    stream.on('data', (chunk: Buffer) => {
      for (const message of this.#splitter.push(chunk)) this.#take(message)
    })
  }

  /** As Open vSwitch does, before the peer has said anything. */
  hello(versions: readonly OpenFlowVersion[] = [this.#options.version]): void {
    const writer = new ByteWriter()
    writeHello(writer, versions, 1)
    this.#stream.write(writer.finish())
  }

  send(type: number, xid: number, body: (writer: ByteWriter) => void = () => undefined): void {
    const writer = new ByteWriter()
    writeMessage(writer, { version: this.#options.version, type, xid }, () => body(writer))
    this.#stream.write(writer.finish())
  }

  refuse(message: Message, { type, code }: { readonly type: number; readonly code: number }): void {
    this.send(MESSAGE_TYPE.error, message.xid, (writer) => {
      writer.u16(type)
      writer.u16(code)
    })
  }

  sendRaw(bytes: Uint8Array): void {
    this.#stream.write(bytes)
  }

  end(): void {
    this.#stream.end()
  }

  /** Messages of that type so far. */
  of(type: number): readonly Message[] {
    return this.received.filter((message) => message.type === type)
  }

  answerByDefault(message: Message): void {
    const { version } = this.#options
    switch (message.type) {
      case MESSAGE_TYPE.featuresRequest:
        this.send(MESSAGE_TYPE.featuresReply, message.xid, (writer) => {
          writer.u64(0xabcn)
          writer.u32(0)
          writer.u8(254)
          writer.zeros(3)
          writer.u32(0x24f)
          writer.u32(0)
        })
        return
      case MESSAGE_TYPE.barrierRequest:
        this.send(MESSAGE_TYPE.barrierReply, message.xid)
        return
      case MESSAGE_TYPE.echoRequest:
        this.send(MESSAGE_TYPE.echoReply, message.xid, (writer) => writer.bytes(message.body))
        return
      case MESSAGE_TYPE.multipartRequest:
        this.send(MESSAGE_TYPE.multipartReply, message.xid, (writer) => {
          writer.u16(message.body.readUInt16BE(0))
          writer.zeros(6)
        })
        return
      case MESSAGE_TYPE.bundleControl: {
        const { bundleId, step } = decodeBundleControl(message.body)
        const writer = new ByteWriter()
        writeBundleControl(writer, { bundleId, step: step + 1 }, { version, xid: message.xid })
        this.#stream.write(writer.finish())
        return
      }
      default:
    }
  }

  #take(message: Message): void {
    // Copied: the body is a view into the receive buffer.
    const kept = { ...message, body: Buffer.from(message.body) }
    this.received.push(kept)
    const answer = this.#options.answer
    if (answer === undefined || answer(kept, this) === 'default') this.answerByDefault(kept)
  }
}
