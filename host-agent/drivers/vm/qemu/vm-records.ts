import { mkdir, open, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { isUuid, PlatformError } from '@nubo/base'
import type { Accelerator, VmEnd, VmSpec } from '../vm-driver.ts'
import { isErrno, onFullDisk } from './disk-errors.ts'

/** What a VM's folder says of it: all that is not found by looking at the host. */
export interface VmRecord {
  readonly version: 1
  readonly spec: VmSpec
  /** Account number that QEMU runs as; of no other VM of the host. */
  readonly uid: number
  readonly run: VmRun
  /** How the last run ended, if none goes on. */
  readonly end: VmEnd | null
  /** Of the root disk, as it was made or has grown to. */
  readonly diskBytes: number | null
  /** A removal has begun and is gone on with, whatever comes. */
  readonly isRemoving: boolean
}

export type VmRun =
  | { readonly at: 'none' }
  /** A start has begun. What it has made is found by looking; a QEMU that runs already has not run its guest. */
  | { readonly at: 'starting' }
  | RunningVm

export interface RunningVm {
  readonly at: 'running'
  readonly bootId: string
  readonly pid: number
  /** Clock ticks from the boot to the start of the process: with it the pid names one process only. */
  readonly startTicks: string
  readonly accelerator: Accelerator
  readonly startedAtMs: number
  /** `kill` was called: an end that follows is its work. */
  readonly isKilled: boolean
}

const RECORD = 'vm.json'

/** A folder for each VM below one folder. The record is the first thing in it and the last that goes. */
export class VmRecords {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  folderOf(vmId: string): string {
    return path.join(this.#folder, vmId)
  }

  /** Ids of all that have a folder, with a record or without. */
  async list(): Promise<string[]> {
    return (await readdir(this.#folder)).filter(isUuid)
  }

  /** Null: there is none. Throws INTERNAL for one that cannot be read, because a disk may lie beside it. */
  async read(vmId: string): Promise<VmRecord | null> {
    const file = path.join(this.folderOf(vmId), RECORD)
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null
      throw error
    }
    try {
      // Written by `write`; what does not have its version or its id is not.
      const record = JSON.parse(text) as VmRecord
      if (record.version === 1 && record.spec.vmId === vmId) return record
      throw new Error('not a record of this VM')
    } catch (cause) {
      throw new PlatformError(
        'INTERNAL',
        { vmId, file, next: 'save the disk beside it, then remove the folder' },
        { message: `the record of VM ${vmId} is damaged`, cause },
      )
    }
  }

  /** All or nothing, and on stable storage when it returns. */
  async write(record: VmRecord): Promise<VmRecord> {
    const folder = this.folderOf(record.spec.vmId)
    await onFullDisk({ what: 'the record of a VM' }, async () => {
      // QEMU has to reach its disk in here, and nobody may look around.
      await mkdir(folder, { recursive: true, mode: 0o711 })
      const file = path.join(folder, RECORD)
      const handle = await open(`${file}.new`, 'w', 0o600)
      try {
        await handle.writeFile(JSON.stringify(record))
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(`${file}.new`, file)
    })
    return record
  }

  /** Removes the folder with all that is in it, the record last. Idempotent. */
  async remove(vmId: string): Promise<void> {
    const folder = this.folderOf(vmId)
    let names: string[]
    try {
      names = await readdir(folder)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return
      throw error
    }
    for (const name of names)
      if (name !== RECORD) await rm(path.join(folder, name), { recursive: true, force: true })
    await rm(path.join(folder, RECORD), { force: true })
    await rmdir(folder)
  }
}
