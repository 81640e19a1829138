import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { PlatformError } from '@nubo/base'
import { IMAGE_UPLOAD_BYTES_MAX } from '@nubo/contracts'
import { diskFull, isDiskFull } from './archive.ts'

/** Keeps an upload on disk and tells its digest. TOO_LARGE, HOST_DISK_FULL, or INVALID_INPUT when it does not have the digest that was said. */
export async function receiveUpload(
  upload: Readable,
  to: { path: string; digest: string | undefined; signal: AbortSignal },
): Promise<string> {
  const hash = createHash('sha256')
  let total = 0
  try {
    await pipeline(
      upload,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          total += chunk.length
          if (total > IMAGE_UPLOAD_BYTES_MAX) {
            throw new PlatformError(
              'TOO_LARGE',
              { limit: `${IMAGE_UPLOAD_BYTES_MAX} bytes` },
              { message: 'The archive is too large.' },
            )
          }
          hash.update(chunk)
          yield chunk
        }
      },
      createWriteStream(to.path),
      { signal: to.signal },
    )
  } catch (cause) {
    if (isDiskFull(cause)) throw diskFull(cause)
    if (to.signal.aborted || upload.readableAborted) {
      throw new PlatformError(
        'INVALID_INPUT',
        { field: 'body', next: 'send the file again' },
        { message: 'The upload was cut off.', cause },
      )
    }
    throw cause
  }
  const digest = `sha256:${hash.digest('hex')}`
  if (to.digest !== undefined && to.digest !== digest) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'digest', expected: to.digest, found: digest, next: 'send the file again' },
      { message: 'The file does not have the digest that was given; it was damaged on the way.' },
    )
  }
  if (total === 0)
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'body', next: 'send the archive as the body' },
      { message: 'The upload is empty.' },
    )
  return digest
}
