import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, truncate } from 'node:fs/promises'
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
}

/** `isRemoving`: a removal has begun, and is gone on with whatever comes. */
export type KeptRecord = VmRecord & { readonly isRemoving: boolean }

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
/** The record of a VM that is being removed: another name needs no room on a disk that is full. */
const REMOVED_RECORD = 'vm-removed.json'
/** What QEMU says of itself; a guest can make it say much. */
const LOG = 'qemu.log'
const LOG_BYTES_MAX = 2 ** 20

/** A folder for each VM below one folder. The record is the first thing in it and the last that goes. */
export class VmRecords {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  folderOf(vmId: string): string {
    return path.join(this.#folder, vmId)
  }

  logOf(vmId: string): string {
    return path.join(this.folderOf(vmId), LOG)
  }

  /** Empties QEMU's log if it has become long; QEMU goes on at its beginning. */
  async boundLog(vmId: string): Promise<void> {
    try {
      const { size } = await stat(this.logOf(vmId))
      if (size > LOG_BYTES_MAX) await truncate(this.logOf(vmId))
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }

  /** Ids of all that have a folder, with a record or without. */
  async list(): Promise<string[]> {
    return (await readdir(this.#folder)).filter(isUuid)
  }

  /** Null: there is none. Throws INTERNAL for one that cannot be read, because a disk may lie beside it. */
  async read(vmId: string): Promise<KeptRecord | null> {
    const folder = this.folderOf(vmId)
    const record = await readRecord(path.join(folder, RECORD), vmId)
    if (record !== null) return { ...record, isRemoving: false }
    const removed = await readRecord(path.join(folder, REMOVED_RECORD), vmId)
    return removed === null ? null : { ...removed, isRemoving: true }
  }

  /** From now on the record says that the VM is being removed. Idempotent. Works on a disk that is full. */
  async markRemoving(vmId: string): Promise<void> {
    const folder = this.folderOf(vmId)
    try {
      await rename(path.join(folder, RECORD), path.join(folder, REMOVED_RECORD))
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }

  /** All or nothing, and on stable storage when it returns. */
  async write({ version, spec, uid, run, end, diskBytes }: VmRecord): Promise<VmRecord> {
    const record: VmRecord = { version, spec, uid, run, end, diskBytes }
    const folder = this.folderOf(spec.vmId)
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
    await this.markRemoving(vmId)
    let names: string[]
    try {
      names = await readdir(folder)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return
      throw error
    }
    for (const name of names)
      if (name !== REMOVED_RECORD)
        await rm(path.join(folder, name), { recursive: true, force: true })
    await rm(path.join(folder, REMOVED_RECORD), { force: true })
    await rmdir(folder)
  }
}

async function readRecord(file: string, vmId: string): Promise<VmRecord | null> {
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
