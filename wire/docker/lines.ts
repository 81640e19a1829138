import { DockerError } from './errors.ts'

/** An event with every label of a container fits many times; more is not an answer of the engine. */
const LINE_BYTES_MAX = 1024 * 1024

/**
 * Splits a stream of JSON texts at line ends (progress and event streams end each text with `\n` or `\r\n`).
 * Empty lines are left out. A line over `lineBytesMax` is a DockerError of kind `protocol`.
 */
export async function* splitLines(
  source: AsyncIterable<Buffer>,
  lineBytesMax: number = LINE_BYTES_MAX,
): AsyncGenerator<string, void, undefined> {
  let parts: Buffer[] = []
  let partBytes = 0
  const take = (): string => {
    const line = Buffer.concat(parts).toString('utf8').trim()
    parts = []
    partBytes = 0
    return line
  }
  for await (const chunk of source) {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end))
      partBytes += end - from
      if (partBytes > lineBytesMax)
        throw new DockerError('protocol', `line over ${lineBytesMax} bytes`)
      from = end + 1
      const line = take()
      if (line !== '') yield line
    }
    parts.push(chunk.subarray(from))
    partBytes += chunk.length - from
    if (partBytes > lineBytesMax)
      throw new DockerError('protocol', `line over ${lineBytesMax} bytes`)
  }
  const last = take()
  if (last !== '') yield last
}
