/** Writes down each datagram that comes to a port of its network namespace, one JSON string a line, in their order. */
import { createSocket } from 'node:dgram'

const socket = createSocket('udp4')
socket.on('message', (bytes) => process.stdout.write(`${JSON.stringify(bytes.toString())}\n`))
socket.bind(Number(process.argv[2]), () => process.stdout.write('"listens"\n'))
