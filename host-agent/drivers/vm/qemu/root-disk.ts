import { existsSync } from 'node:fs'
import { chown, open, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { run, type Argv } from '@nubo/runtime/process'
import { unprivileged } from './accounts.ts'
import { onFullDisk } from './disk-errors.ts'

/** The root disk of a VM: a qcow2 of its own over the image, which it reads through. */

const TIMEOUT_MS = 60_000

export interface RootDisk {
  /** Of the VM. */
  readonly folder: string
  readonly epoch: number
  readonly uid: number
}

/** Each placement has a disk of its own: what an earlier one left is another VM's data by now. */
export function diskPath({ folder, epoch }: RootDisk): string {
  return path.join(folder, `disk-${epoch}.qcow2`)
}

export function hasDisk(disk: RootDisk): boolean {
  return existsSync(diskPath(disk))
}

/** Removes the disks of other epochs, and what was not made to its end. Idempotent. */
export async function removeOtherDisks(disk: RootDisk): Promise<void> {
  const own = path.basename(diskPath(disk))
  for (const name of await readdir(disk.folder))
    if (name.startsWith('disk-') && name !== own)
      await rm(path.join(disk.folder, name), { force: true })
}

/** Makes the disk; `basePath` null: an empty one. All or nothing; one that is there is replaced. */
export async function makeDisk(
  disk: RootDisk,
  { basePath, sizeBytes }: { readonly basePath: string | null; readonly sizeBytes: number },
): Promise<void> {
  const target = diskPath(disk)
  const unfinished = `${target}.new`
  await onFullDisk({ what: 'the disk of a VM' }, async () => {
    await rm(unfinished, { force: true })
    await (await open(unfinished, 'wx', 0o600)).close()
    await chown(unfinished, disk.uid, disk.uid)
    const base = basePath === null ? [] : ['-b', basePath, '-F', 'qcow2']
    await runAs(disk.uid, [
      'qemu-img',
      'create',
      '-q',
      '-f',
      'qcow2',
      ...base,
      unfinished,
      String(sizeBytes),
    ])
    await rename(unfinished, target)
  })
}

/** Makes a disk larger that no QEMU has open. Idempotent. */
export async function growDisk(disk: RootDisk, sizeBytes: number): Promise<void> {
  const argv: Argv = ['qemu-img', 'resize', '-q', '-f', 'qcow2', diskPath(disk), String(sizeBytes)]
  await onFullDisk({ what: 'the disk of a VM' }, async () => await runAs(disk.uid, argv))
}

/** As the account of the VM: a disk that an escaped QEMU has prepared finds no more rights here than it had. */
async function runAs(uid: number, argv: Argv): Promise<void> {
  await run({ argv: unprivileged(uid, argv), timeoutMs: TIMEOUT_MS, cwd: '/' })
}
