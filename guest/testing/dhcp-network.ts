import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { addressReply, answer, decodeMessage, encodeMessage, type Binding } from '@nubo/wire-dhcp'
import { decodeUdpFrame, encodeUdpFrame, PacketDecodeError } from '@nubo/wire-packet'

const SERVER_MAC = '52:54:00:00:00:fe'
const DHCP_PORT = 67
// QEMU's netdev `stream`: each frame comes after its length, in four bytes.
const LENGTH_BYTES = 4

/** A network without anything but a DHCP server, for one network card of a QEMU with the netdev `stream` at `path`. */
export async function serveDhcp(t: TestContext, path: string, binding: Binding): Promise<void> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined) // QEMU ends as it likes.
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= LENGTH_BYTES) {
        const end = LENGTH_BYTES + rest.readUInt32BE(0)
        if (rest.length < end) break
        const reply = answerFrame(rest.subarray(LENGTH_BYTES, end), binding)
        rest = rest.subarray(end)
        if (reply === undefined) continue
        const length = Buffer.alloc(LENGTH_BYTES)
        length.writeUInt32BE(reply.length)
        socket.write(Buffer.concat([length, reply]))
      }
    })
  })
  server.listen(path)
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
}

function answerFrame(frame: Uint8Array, binding: Binding): Uint8Array | undefined {
  try {
    const datagram = decodeUdpFrame(frame, { partialChecksum: true })
    if (datagram.destinationPort !== DHCP_PORT) return undefined
    const found = answer(decodeMessage(datagram.payload), binding)
    if (found.kind !== 'reply') return undefined
    return encodeUdpFrame({
      sourceMac: SERVER_MAC,
      sourceAddress: binding.serverId,
      ...addressReply(found.reply),
      payload: encodeMessage(found.reply, found.limits),
    })
  } catch (cause) {
    // ARP, IPv6 and what else a kernel says on a new link.
    if (cause instanceof PacketDecodeError) return undefined
    throw cause
  }
}
