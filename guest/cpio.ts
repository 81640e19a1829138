/** The archive that Linux unpacks into its first root file system: cpio "newc" (Linux, driver-api/early-userspace/buffer-format). */

export type CpioEntry =
  | { readonly at: 'folder'; readonly path: string; readonly mode: number }
  | {
      readonly at: 'file'
      readonly path: string
      readonly mode: number
      readonly bytes: Uint8Array
    }
  | { readonly at: 'link'; readonly path: string; readonly target: string }
  | {
      readonly at: 'device'
      readonly path: string
      readonly mode: number
      readonly type: 'character' | 'block'
      readonly major: number
      readonly minor: number
    }

// PATH_MAX of Linux, with the closing NUL; longer names are skipped by its unpacker without a word.
const PATH_BYTES_MAX = 4_096
// Sizes have eight hexadecimal digits.
const FILE_BYTES_MAX = 0xffff_ffff
const ALIGNMENT_BYTES = 4
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000
const S_IFCHR = 0o020000
const S_IFBLK = 0o060000

/**
 * The archive of `entries`, in their order. Everything belongs to root and has the time 0, whoever builds it: the same
 * entries give the same bytes. Throws RangeError for a path that is not relative and plain, that comes twice, or whose
 * folder does not come before it (Linux makes none by itself).
 */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const folders = new Set([''])
  const paths = new Set<string>()
  const parts: Buffer[] = []
  for (const [index, entry] of entries.entries()) {
    const { path } = entry
    checkPath(path)
    if (paths.has(path)) throw new RangeError(`${path} comes twice`)
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')))
    if (!folders.has(parent)) throw new RangeError(`${path}: its folder ${parent} must come before`)
    paths.add(path)
    if (entry.at === 'folder') folders.add(path)
    // Entries with the same number are links of one file; each has its own.
    parts.push(...record({ ...fieldsOf(entry), path, inode: index + 1 }))
  }
  const trailer = { path: 'TRAILER!!!', inode: 0, mode: 0, links: 1, bytes: Buffer.alloc(0) }
  parts.push(...record({ ...trailer, major: 0, minor: 0 }))
  return Buffer.concat(parts)
}

function checkPath(path: string): void {
  const steps = path.split('/')
  if (steps.some((step) => step === '' || step === '.' || step === '..') || path.includes('\0'))
    throw new RangeError(`not a plain relative path: ${JSON.stringify(path)}`)
  if (Buffer.byteLength(path) >= PATH_BYTES_MAX)
    throw new RangeError(`a path of ${Buffer.byteLength(path)} bytes; less than ${PATH_BYTES_MAX}`)
}

interface Fields {
  readonly mode: number
  readonly links: number
  readonly bytes: Uint8Array
  readonly major: number
  readonly minor: number
}

function fieldsOf(entry: CpioEntry): Fields {
  const plain = { links: 1, bytes: Buffer.alloc(0), major: 0, minor: 0 }
  switch (entry.at) {
    case 'folder':
      return { ...plain, mode: S_IFDIR | entry.mode, links: 2 }
    case 'file':
      return { ...plain, mode: S_IFREG | entry.mode, bytes: entry.bytes }
    case 'link':
      return { ...plain, mode: S_IFLNK | 0o777, bytes: Buffer.from(entry.target) }
    case 'device': {
      const type = entry.type === 'character' ? S_IFCHR : S_IFBLK
      return { ...plain, mode: type | entry.mode, major: entry.major, minor: entry.minor }
    }
  }
}

function record(fields: Fields & { path: string; inode: number }): Buffer[] {
  const { bytes, path } = fields
  if (bytes.length > FILE_BYTES_MAX)
    throw new RangeError(`${path}: ${bytes.length} bytes; at most ${FILE_BYTES_MAX}`)
  const name = Buffer.from(`${path}\0`)
  // Inode, mode, owner, group, links, time, size, device that holds it (2), device that it is (2), length of the name, checksum.
  const numbers = [fields.inode, fields.mode, 0, 0, fields.links, 0, bytes.length, 0, 0]
  numbers.push(fields.major, fields.minor, name.length, 0)
  const text = numbers.map((number) => number.toString(16).padStart(8, '0')).join('')
  const header = Buffer.concat([Buffer.from(`070701${text}`), name])
  return [header, padding(header.length), Buffer.from(bytes), padding(bytes.length)]
}

function padding(length: number): Buffer {
  return Buffer.alloc((ALIGNMENT_BYTES - (length % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES)
}
