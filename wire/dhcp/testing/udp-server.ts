import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { addressReply, answer, decodeMessage, encodeMessage, type Binding } from '../index.ts'

/** The program below: argv is a binding in JSON; it writes one word for each message that it got, a line each. */
export const UDP_SERVER_PROGRAM = import.meta.filename

/**
 * The responder behind an ordinary UDP socket, for a namespace of its own. What the kernel lacks, a way to a client without an
 * address, the test gives it: a fixed neighbour.
 */
async function serve(binding: Binding): Promise<void> {
  const socket = createSocket('udp4')
  socket.bind(67, '0.0.0.0')
  await once(socket, 'listening')
  socket.setBroadcast(true)
  socket.on('message', (payload) => {
    const found = answer(decodeMessage(payload), binding)
    if (found.kind === 'silent') {
      console.log(found.reason)
      return
    }
    const { destinationAddress, destinationPort } = addressReply(found.reply)
    const bytes = encodeMessage(found.reply, found.limits)
    socket.send(bytes, destinationPort, destinationAddress)
    console.log(found.reply.options.messageType, destinationAddress)
  })
  console.log('listening')
}

// The test writes the binding; a wrong one ends the program, and the test with it.
if (import.meta.main) await serve(JSON.parse(process.argv[2] ?? '') as Binding)
