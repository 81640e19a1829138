/** Frames of exec and logs streams (contracts/public/stream.ts), apart from any connection. */
import {
  STREAM_FRAME_BYTES_MAX,
  streamChannel,
  streamControl,
  type StreamControl,
} from '@nubo/contracts'
import { ContractError } from './errors.ts'

/** Longer control messages do not exist; the text of an error is the longest. */
const CONTROL_CHARS_MAX = 16 * 1024

export interface StreamChunk {
  readonly channel: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
}

/** A binary frame from a server. Throws ContractError for another channel, an empty or an overlong frame. */
export function decodeOutput(frame: Uint8Array): StreamChunk {
  if (frame.byteLength > STREAM_FRAME_BYTES_MAX) {
    throw new ContractError(
      `a stream frame has ${frame.byteLength} bytes, at most ${STREAM_FRAME_BYTES_MAX} may be`,
    )
  }
  const channel = frame[0]
  const bytes = frame.subarray(1)
  if (channel === streamChannel.stdout) return { channel: 'stdout', bytes }
  if (channel === streamChannel.stderr) return { channel: 'stderr', bytes }
  throw new ContractError(`a stream frame has the unknown channel ${channel ?? 'none'}`)
}

/** A text frame. Throws ContractError if it is none of the contract's. */
export function decodeControl(text: string): StreamControl {
  if (text.length > CONTROL_CHARS_MAX) throw new ContractError('a control message is too long')
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (cause) {
    throw new ContractError('a control message of a stream is not JSON', cause)
  }
  const parsed = streamControl.safeParse(body)
  if (parsed.success) return parsed.data
  throw new ContractError('a control message of a stream is not of the contract', parsed.error)
}

/** Input cut into frames of at most STREAM_FRAME_BYTES_MAX; no frame for no bytes. */
export function* encodeStdin(bytes: Uint8Array): Generator<Uint8Array, void, void> {
  const payloadMax = STREAM_FRAME_BYTES_MAX - 1
  for (let start = 0; start < bytes.byteLength; start += payloadMax) {
    const payload = bytes.subarray(start, start + payloadMax)
    const frame = new Uint8Array(payload.byteLength + 1)
    frame[0] = streamChannel.stdin
    frame.set(payload, 1)
    yield frame
  }
}
