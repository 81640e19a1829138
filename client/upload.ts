import type { Image } from '@nubo/contracts'
import type { Deadline } from './deadline.ts'
import { exchange, replyOf, requestPath, type Transport } from './transport.ts'
import type { CallRequest } from './routes.ts'

/** No byte was taken for this long: the server or the network hangs. */
const STALL_MAX_MS = 60_000
/** After the last byte the server stores and checks; 8 GiB take a while. */
const FINISH_MAX_MS = 300_000

export interface Upload {
  readonly query: NonNullable<CallRequest<'imageImport'>['query']>
  /** The bytes, from their beginning. Called again only when a server refused the connection. */
  readonly open: () => AsyncIterable<Uint8Array>
}

export interface UploadOptions {
  /** Told after each piece how many bytes have been handed over. */
  readonly onProgress?: ((sentBytes: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Streams an archive to the server as an image; memory stays at a few pieces. Throws as every change does; an error
 * of `open` is the cause of the error thrown.
 */
export async function uploadImage(
  transport: Transport,
  upload: Upload,
  options: UploadOptions,
): Promise<Image> {
  const path = requestPath('imageImport', { query: upload.query })
  let deadline: Deadline | undefined
  let sourceFailure: { error: unknown } | undefined
  const onPiece = (sentBytes: number | 'all'): void => {
    deadline?.extend(sentBytes === 'all' ? FINISH_MAX_MS : STALL_MAX_MS)
    if (sentBytes !== 'all') options.onProgress?.(sentBytes)
  }
  try {
    const { result } = await exchange(transport, {
      name: 'imageImport',
      path,
      accept: 'application/json',
      contentType: 'application/octet-stream',
      body: () => bodyOf(upload.open(), onPiece, (error) => (sourceFailure = { error })),
      read: replyOf('imageImport', path),
      signal: options.signal,
      timeoutMs: STALL_MAX_MS,
      onDeadline: (started) => {
        deadline = started
      },
    })
    return result as Image // proof: checked by the reply schema of imageImport
  } catch (error) {
    if (sourceFailure !== undefined) throw sourceFailure.error
    throw error
  }
}

function bodyOf(
  source: AsyncIterable<Uint8Array>,
  onPiece: (sentBytes: number | 'all') => void,
  onFailure: (error: unknown) => void,
): ReadableStream<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]()
  let sentBytes = 0
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const piece = await pieces.next()
        if (piece.done === true) {
          onPiece('all')
          controller.close()
          return
        }
        sentBytes += piece.value.byteLength
        onPiece(sentBytes)
        controller.enqueue(piece.value)
      } catch (error) {
        onFailure(error)
        controller.error(error)
      }
    },
    async cancel() {
      await pieces.return?.()
    },
  })
}
