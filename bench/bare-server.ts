/**
 * A server that knows nothing: Node's own HTTP server, which answers each request with so many bytes as its path says,
 * `/BYTES`, from memory. What it takes under a load is what the machine, Node and whoever asks take of it: the floor of
 * every read.
 * `node bench/bare-server.ts HOST PORT`
 */
import { createServer } from 'node:http'
import { pipeline, Readable } from 'node:stream'

const CHUNK = Buffer.alloc(131_072, 'x')

const [host, port] = process.argv.slice(2)

createServer((request, response) => {
  request.resume()
  const bytes = Number(request.url?.slice(1))
  response.writeHead(200, { 'content-type': 'application/json' })
  if (bytes <= CHUNK.length) response.end(CHUNK.subarray(0, bytes))
  else pipeline(Readable.from(chunks(bytes)), response, () => undefined)
}).listen(Number(port), host)

function* chunks(bytes: number): Generator<Buffer, undefined> {
  for (let left = bytes; left > 0; left -= CHUNK.length) yield CHUNK.subarray(0, left)
}
