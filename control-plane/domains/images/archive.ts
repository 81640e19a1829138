import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { PlatformError } from '@nubo/base'
import tar from 'tar-stream'

/** Bounds against archives that are made to hurt. */
export const UNPACKED_BYTES_MAX = 32 * 2 ** 30
/**
 * File systems shrink to a half or a tenth; gzip of nothing but zeros to a thousandth. What unpacks to more than this
 * many times its size is made to fill the disk. Small archives may, so that nobody trips over an empty one.
 */
const UNPACKED_RATIO_MAX = 100
const UNPACKED_SMALL_BYTES = 64 * 2 ** 20
export const ENTRIES_MAX = 1_000_000
export const METADATA_BYTES_MAX = 4 * 2 ** 20
export const LAYERS_MAX = 128
const PATH_BYTES_MAX = 4_096

export function broken(message: string, details: Record<string, unknown> = {}): PlatformError {
  return new PlatformError('IMAGE_BROKEN', details, { message })
}

/** A file on disk, with what the registry wants to know of it. */
export interface StoredBlob {
  readonly path: string
  readonly digest: string
  readonly sizeBytes: number
}

/** Digest of a file of known size limit. */
export async function digestOf(path: string): Promise<StoredBlob> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    // proof: a stream without an encoding gives buffers
    const bytes = chunk as Buffer
    hash.update(bytes)
    sizeBytes += bytes.length
  }
  return { path, digest: `sha256:${hash.digest('hex')}`, sizeBytes }
}

/** Whether the file begins as gzip does (RFC 1952). */
export async function isGzip(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0)
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
  } finally {
    await file.close()
  }
}

/** Unpacks a gzip file in place (through a neighbour). IMAGE_BROKEN if it is damaged, TOO_LARGE if it is a bomb. */
export async function gunzipFile(path: string, mostBytes = UNPACKED_BYTES_MAX): Promise<void> {
  const unpacked = `${path}.unpacked`
  const { size } = await stat(path)
  const limitBytes = unpackedLimit(size, mostBytes)
  let total = 0
  try {
    await pipeline(
      createReadStream(path, { highWaterMark: 1 << 20 }),
      createGunzip(),
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          total += chunk.length
          if (total > limitBytes) throw tooLarge(limitBytes)
          yield chunk
        }
      },
      createWriteStream(unpacked),
    )
  } catch (cause) {
    await rm(unpacked, { force: true })
    if (cause instanceof PlatformError) throw cause
    if (isDiskFull(cause)) throw diskFull(cause)
    throw broken('The gzip data is damaged.', {
      cause: String(cause instanceof Error ? cause.message : ''),
    })
  }
  await rename(unpacked, path)
}

/** To how much a file of this size may unpack. Pure. */
export function unpackedLimit(sizeBytes: number, mostBytes: number): number {
  return Math.min(mostBytes, Math.max(UNPACKED_SMALL_BYTES, sizeBytes * UNPACKED_RATIO_MAX))
}

export function tooLarge(limitBytes: number): PlatformError {
  return new PlatformError(
    'TOO_LARGE',
    { limit: `${limitBytes} bytes` },
    { message: `The archive unpacks to more than ${limitBytes} bytes.` },
  )
}

export function isDiskFull(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ENOSPC' || error.code === 'EDQUOT')
  )
}

export function diskFull(cause: unknown): PlatformError {
  return new PlatformError(
    'HOST_DISK_FULL',
    { next: 'free space on the server, then import again' },
    { message: 'The disk of the server is full.', cause },
  )
}

/** INVALID path tricks: absolute names, '..', empty or huge names, NUL. */
export function checkEntryName(name: string, what = 'entry'): void {
  if (name === '' || Buffer.byteLength(name) > PATH_BYTES_MAX || name.includes('\0')) {
    throw broken(`An ${what} of the archive has an impossible name.`)
  }
  if (name.startsWith('/') || name.split('/').includes('..')) {
    throw broken(`The ${what} ${JSON.stringify(name.slice(0, 200))} points outside the archive.`, {
      entry: name.slice(0, 200),
    })
  }
}

export interface TarEntry {
  readonly name: string
  readonly type: string
  readonly sizeBytes: number
  readonly linkName: string | null
}

/**
 * Walks a tar file; `visit` takes an entry's content or leaves it (it is skipped then). Every name is checked, entries
 * and bytes are counted. IMAGE_BROKEN for anything that is not a sound tar.
 */
export async function walkTar(
  path: string,
  visit: (entry: TarEntry, content: AsyncIterable<unknown>) => Promise<void>,
): Promise<void> {
  const extract = tar.extract()
  const file = createReadStream(path, { highWaterMark: 1 << 20 })
  file.on('error', (error) => extract.destroy(error))
  file.pipe(extract)
  let entries = 0
  let bytes = 0
  try {
    for await (const entry of extract) {
      const { name, type, size, linkname } = entry.header
      if (++entries > ENTRIES_MAX)
        throw new PlatformError('TOO_LARGE', { limit: `${ENTRIES_MAX} entries` })
      bytes += size ?? 0
      if (bytes > UNPACKED_BYTES_MAX) throw tooLarge(UNPACKED_BYTES_MAX)
      checkEntryName(name)
      // A hard link names another entry of the archive; a symbolic link is resolved inside the container and may say anything.
      if (type === 'link') checkEntryName(linkname ?? '', 'link')
      await visit(
        {
          name: name.replace(/^\.\//, ''),
          type: type ?? 'file',
          sizeBytes: size ?? 0,
          linkName: linkname ?? null,
        },
        entry,
      )
      entry.resume()
    }
  } catch (cause) {
    if (cause instanceof PlatformError) throw cause
    if (isDiskFull(cause)) throw diskFull(cause)
    throw new PlatformError(
      'IMAGE_BROKEN',
      {
        next: 'give a tar file, or a disk: qcow2, vmdk, or raw with a partition table (optionally gzip)',
      },
      { message: 'The file is neither a disk nor a sound tar archive.', cause },
    )
  } finally {
    file.destroy()
    extract.destroy()
  }
  if (entries === 0) throw broken('The archive is empty.')
}

/** The content of a small entry as JSON. */
export async function readJson(content: AsyncIterable<unknown>, what: string): Promise<unknown> {
  const chunks: Buffer[] = []
  let total = 0
  for await (const chunk of content) {
    const bytes = chunk as Buffer // proof: tar entries give buffers
    total += bytes.length
    if (total > METADATA_BYTES_MAX)
      throw broken(`${what} is larger than ${METADATA_BYTES_MAX} bytes.`)
    chunks.push(bytes)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    throw broken(`${what} is not JSON.`)
  }
}

/** Copies an entry to a file of our own naming. */
export async function extractTo(
  content: AsyncIterable<unknown>,
  folder: string,
  index: number,
): Promise<string> {
  const path = join(folder, `blob-${index}`)
  await pipeline(content, createWriteStream(path))
  return path
}
