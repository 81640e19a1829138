import type { z } from 'zod'
import { broken, digestOf, extractTo, walkTar } from './archive.ts'
import { readHead } from './disk-format.ts'
import { commandLine, type UnpackedVm, type VmArtifactConfig } from './vm-artifact.ts'

const KERNEL_BYTES_MAX = 256 * 2 ** 20
const INITRD_BYTES_MAX = 2 * 2 ** 30
const COMMAND_LINE_BYTES_MAX = 4_096
const COMMAND_LINE_DEFAULT: z.infer<typeof commandLine> = 'console=ttyS0'
const BYTES_MAX: Readonly<Record<string, number>> = {
  kernel: KERNEL_BYTES_MAX,
  initrd: INITRD_BYTES_MAX,
  'command-line': COMMAND_LINE_BYTES_MAX,
}
const NEXT = "give a tar of the files 'kernel', 'initrd' and, if you like, 'command-line'"

/** The folder that was packed, which some writers name first. */
export function isTop(entryName: string): boolean {
  return entryName === '' || entryName === '.'
}

/** A tar of nothing but these files holds a kernel; every root file system has more. Pure. */
export function isKernelArchive(names: ReadonlySet<string>): boolean {
  return (
    (names.has('kernel') || names.has('initrd')) &&
    [...names].every((name) => Object.hasOwn(BYTES_MAX, name))
  )
}

/** A kernel with its initial file system and its command line. IMAGE_BROKEN. */
export async function unpackKernel(path: string, folder: string): Promise<UnpackedVm> {
  const files = new Map<string, string>()
  let line = COMMAND_LINE_DEFAULT
  await walkTar(path, async (entry, content) => {
    const { name } = entry
    if (isTop(name)) return
    const bytesMax = BYTES_MAX[name] ?? 0
    if (entry.type !== 'file' || entry.sizeBytes === 0 || entry.sizeBytes > bytesMax)
      throw broken(`${name} of the kernel archive is no file of 1 to ${bytesMax} bytes.`, {
        entry: name,
        next: NEXT,
      })
    if (files.has(name))
      throw broken(`The kernel archive holds ${name} twice.`, { entry: name, next: NEXT })
    const file = await extractTo(content, folder, files.size)
    files.set(name, file)
    if (name === 'command-line') line = await readCommandLine(file)
  })
  const layerOf = (name: string) => {
    const file = files.get(name)
    if (file === undefined) throw broken(`The kernel archive lacks ${name}.`, { next: NEXT })
    return digestOf(file)
  }
  const [kernel, initrd] = [await layerOf('kernel'), await layerOf('initrd')]
  const format = kernelFormat((await readHead(kernel.path, 4_096)).bytes)
  return {
    source: 'kernel',
    layers: [kernel, initrd],
    vm: { kind: 'kernel', format, virtualBytes: 0, commandLine: line },
  }
}

async function readCommandLine(file: string): Promise<string> {
  const { bytes } = await readHead(file, COMMAND_LINE_BYTES_MAX)
  const parsed = commandLine.safeParse(bytes.toString('latin1').replace(/\r?\n$/, ''))
  if (parsed.success) return parsed.data
  throw broken('command-line is not one line of at most 2048 printable ASCII characters.', {
    entry: 'command-line',
    limit: '2048 characters',
    next: "write the kernel's parameters into one line",
  })
}

/** A bzImage (Linux, arch/x86/boot.rst), or a bare vmlinux for x86. Pure. */
export function kernelFormat(
  head: Buffer,
): Extract<VmArtifactConfig, { kind: 'kernel' }>['format'] {
  if (head.toString('latin1', 0x202, 0x206) === 'HdrS' && head.readUInt16LE(0x1fe) === 0xaa55)
    return 'bzimage'
  const isElf = head.length >= 64 && head.readUInt32BE(0) === 0x7f454c46
  // 64-bit, little-endian, an executable, x86-64.
  if (isElf && head[4] === 2 && head[5] === 1 && head.readUInt16LE(16) === 2)
    if (head.readUInt16LE(18) === 62) return 'elf'
  throw broken('kernel is neither a bzImage nor a vmlinux for x86-64.', {
    entry: 'kernel',
    next: 'take the vmlinuz of a distribution, or a vmlinux that can be started by PVH',
  })
}
