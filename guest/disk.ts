/** A disk that boots the test guest: one FAT32 partition with the kernel and its root file system, started by syslinux. */
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TEST_GUEST_COMMAND_LINE } from './command-line.ts'
import { masterBootRecord, SECTOR_BYTES } from './partition-table.ts'
import { notInstalled, runTool } from './tool.ts'

const BOOT_CODE = '/usr/lib/SYSLINUX/mbr.bin'
const MIB = 2 ** 20
// A FAT32 needs 65,525 clusters of at least 512 bytes, hence about 33 MB; kernel and files are 16 MB.
const DISK_BYTES = 48 * MIB
const PARTITION_OFFSET_BYTES = MIB

const SYSLINUX_CONFIG = `DEFAULT nubo
PROMPT 0
LABEL nubo
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND ${TEST_GUEST_COMMAND_LINE}
`

/** Writes `disk.raw` (sparse) and `disk.qcow2` (compressed) into a folder that has `vmlinuz` (of `kernelFolder`) and `initrd.gz`. */
export async function writeDisks(
  into: string,
  { kernelFolder, signal }: { kernelFolder: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const raw = join(into, 'disk.raw')
  const bootCode = await readFile(BOOT_CODE).catch((cause: unknown) => {
    throw notInstalled(BOOT_CODE, 'syslinux', cause)
  })
  const firstSector = PARTITION_OFFSET_BYTES / SECTOR_BYTES
  const sectorCount = (DISK_BYTES - PARTITION_OFFSET_BYTES) / SECTOR_BYTES
  const disk = await open(raw, 'wx')
  try {
    await disk.truncate(DISK_BYTES)
    await disk.write(masterBootRecord({ bootCode, firstSector, sectorCount }), 0, SECTOR_BYTES, 0)
  } finally {
    await disk.close()
  }
  const partition = `${raw}@@${PARTITION_OFFSET_BYTES}`
  const config = join(into, 'syslinux.cfg')
  await writeFile(config, SYSLINUX_CONFIG)
  const files = [join(kernelFolder, 'vmlinuz'), join(into, 'initrd.gz'), config]
  const steps: [string, ...string[]][] = [
    // A serial number of its own choice would make each disk another one.
    ['mformat', '-i', partition, '-F', '-N', '4e55424f', '-T', String(sectorCount), '::'],
    ['syslinux', '--install', '--offset', String(PARTITION_OFFSET_BYTES), raw],
    ['mcopy', '-i', partition, ...files, '::'],
    ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, join(into, 'disk.qcow2')],
  ]
  for (const argv of steps) await runTool({ argv, signal })
}
