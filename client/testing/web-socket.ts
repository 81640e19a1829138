/** The server's side of a WebSocket (RFC 6455), as much as a test needs: whole messages, no extensions. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const opcode = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export type SocketMessage = { text: string } | { bytes: Uint8Array }

export interface ServerSocket {
  /** Messages of the client, in order; ends when it closes. To be read once. */
  readonly messages: AsyncIterable<SocketMessage>
  sendText(text: string): void
  sendBytes(bytes: Uint8Array): void
  /** Writes bytes as they are, to send what no WebSocket would. */
  sendRaw(bytes: Uint8Array): void
  close(): void
  /** Cuts the connection without a word. */
  destroy(): void
}

export function acceptSocket(request: IncomingMessage, duplex: Duplex): ServerSocket {
  const key = request.headers['sec-websocket-key'] ?? ''
  const accept = createHash('sha1').update(`${key}${ACCEPT_GUID}`).digest('base64')
  duplex.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  duplex.on('error', () => undefined)
  return {
    messages: readMessages(duplex),
    sendText: (text) => void duplex.write(frame(opcode.text, Buffer.from(text))),
    sendBytes: (bytes) => void duplex.write(frame(opcode.binary, bytes)),
    sendRaw: (bytes) => void duplex.write(bytes),
    close: () => void duplex.end(frame(opcode.close, new Uint8Array())),
    destroy: () => void duplex.destroy(),
  }
}

function frame(code: number, payload: Uint8Array): Uint8Array {
  const length = payload.byteLength
  const head =
    length < 126
      ? Buffer.from([0x80 | code, length])
      : length < 65_536
        ? Buffer.from([0x80 | code, 126, length >> 8, length & 0xff])
        : Buffer.from([0x80 | code, 127, 0, 0, 0, 0, ...bigEndian32(length)])
  return Buffer.concat([head, payload])
}

function bigEndian32(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff)
}

async function* readMessages(duplex: Duplex): AsyncGenerator<SocketMessage, void, void> {
  let rest = Buffer.alloc(0)
  try {
    for await (const chunk of duplex) {
      if (!(chunk instanceof Uint8Array)) return
      rest = Buffer.concat([rest, chunk])
      for (let next = takeFrame(rest); next !== undefined; next = takeFrame(rest)) {
        rest = rest.subarray(next.bytes)
        if (next.code === opcode.text) yield { text: next.payload.toString() }
        else if (next.code === opcode.binary) yield { bytes: next.payload }
        else if (next.code === opcode.close) {
          duplex.end(frame(opcode.close, new Uint8Array()))
          return
        }
      }
    }
  } catch {
    // A cut connection ends the messages; tests look at what came before.
  }
}

/** Client frames are masked; those of these tests are never split. */
function takeFrame(buffer: Buffer): { code: number; payload: Buffer; bytes: number } | undefined {
  if (buffer.length < 6) return undefined
  const short = buffer.readUInt8(1) & 0x7f
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
  const headBytes = 2 + lengthBytes + 4
  if (buffer.length < headBytes) return undefined
  const length =
    short === 126
      ? buffer.readUInt16BE(2)
      : short === 127
        ? Number(buffer.readBigUInt64BE(2))
        : short
  if (buffer.length < headBytes + length) return undefined
  const mask = buffer.subarray(headBytes - 4, headBytes)
  const payload = Buffer.from(buffer.subarray(headBytes, headBytes + length))
  for (let i = 0; i < payload.length; i++) {
    payload.writeUInt8(payload.readUInt8(i) ^ mask.readUInt8(i % 4), i)
  }
  return { code: buffer.readUInt8(0) & 0x0f, payload, bytes: headBytes + length }
}
