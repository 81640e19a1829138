import { ByteReader, type ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError } from './errors.ts'
import { MESSAGE_TYPE, writeMessage, type Message } from './message.ts'
import type { OpenFlowVersion } from './version.ts'

const OFPHET_VERSIONBITMAP = 1
const ELEMENT_HEADER_BYTES = 4

/** HELLO in the highest version of ours, with a bitmap of all of them. Section 7.5.1 of OpenFlow 1.4. */
export function writeHello(
  writer: ByteWriter,
  versions: readonly OpenFlowVersion[],
  xid: number,
): void {
  const version = highest(versions)
  if (version === undefined) throw new TypeError('a HELLO needs at least one version')
  let bitmap = 0
  for (const each of versions) bitmap |= 1 << each
  writeMessage(writer, { version, type: MESSAGE_TYPE.hello, xid }, () => {
    writer.u16(OFPHET_VERSIONBITMAP)
    writer.u16(ELEMENT_HEADER_BYTES + 4)
    writer.u32(bitmap)
  })
}

/** The highest version that both sides speak; undefined if there is none. Throws OpenFlowDecodeError. */
export function negotiatedVersion(
  hello: Message,
  ours: readonly OpenFlowVersion[],
): OpenFlowVersion | undefined {
  const bitmap = readVersionBitmap(new ByteReader(hello.body))
  if (bitmap !== undefined)
    return highest(ours.filter((version) => (bitmap & (1 << version)) !== 0))
  // Without a bitmap a HELLO means "everything up to mine", and the lower of both highest is used.
  const mine = highest(ours)
  const lower = mine === undefined ? hello.version : Math.min(mine, hello.version)
  return ours.find((version) => version === lower)
}

function readVersionBitmap(reader: ByteReader): number | undefined {
  while (reader.remaining >= ELEMENT_HEADER_BYTES) {
    const type = reader.u16()
    const length = reader.u16()
    if (length < ELEMENT_HEADER_BYTES) {
      throw new OpenFlowDecodeError(`HELLO element of ${length} bytes`)
    }
    const element = reader.sub(length - ELEMENT_HEADER_BYTES)
    reader.skip(Math.min((8 - (length % 8)) % 8, reader.remaining))
    if (type === OFPHET_VERSIONBITMAP && element.remaining >= 4) return element.u32()
  }
  return undefined
}

function highest(versions: readonly OpenFlowVersion[]): OpenFlowVersion | undefined {
  return [...versions].sort((a, b) => b - a)[0]
}
