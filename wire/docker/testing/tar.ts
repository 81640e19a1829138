/** A file for `packTar`. Directories end in `/`; `linkTo` makes a symbolic link. */
export interface TarFile {
  readonly path: string
  readonly mode?: number
  readonly content?: Uint8Array | string
  readonly linkTo?: string
}

const BLOCK_BYTES = 512

/** A ustar archive. Equal input gives equal bytes: no times, no owners. Paths up to 99 bytes. */
export function packTar(files: readonly TarFile[]): Buffer {
  const parts: Buffer[] = []
  for (const file of files) {
    const content = Buffer.from(file.content ?? '')
    parts.push(header(file, content.length), content)
    parts.push(Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES))
  }
  parts.push(Buffer.alloc(2 * BLOCK_BYTES))
  return Buffer.concat(parts)
}

function header(file: TarFile, sizeBytes: number): Buffer {
  if (Buffer.byteLength(file.path) > 99)
    throw new Error(`path too long for this archive: ${file.path}`)
  const block = Buffer.alloc(BLOCK_BYTES)
  const isDirectory = file.path.endsWith('/')
  block.write(file.path, 0)
  block.write(octal(file.mode ?? (isDirectory ? 0o755 : 0o644), 7), 100)
  block.write(octal(0, 7), 108)
  block.write(octal(0, 7), 116)
  block.write(octal(sizeBytes, 11), 124)
  block.write(octal(0, 11), 136)
  block.write('        ', 148)
  block.write(file.linkTo !== undefined ? '2' : isDirectory ? '5' : '0', 156)
  block.write(file.linkTo ?? '', 157)
  block.write('ustar\u000000', 257)
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${octal(checksum, 6)}\u0000 `, 148)
  return block
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
