/**
 * What labs share on one machine: names, address ranges, ports, and settings of the kernel. Kept in /run, which ends
 * with the boot like the things themselves. Each change outside a home is written down here before it is made, and
 * taken back when the last lab that needs it is gone, so that a killed lab cannot make it permanent.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PlatformError } from '@nubo/base'
import { run } from '@nubo/runtime'
import { z } from 'zod'
import { readIfThere, writeJson } from './files.ts'
import type { LabHome } from './home.ts'
import { withLock } from './lock.ts'

const MACHINE_FOLDER = '/run/nubo'
const NETNS_FOLDER = '/run/netns'
const LOCK_WAIT_MS = 20_000

const machineRecord = z.strictObject({
  version: z.literal(1),
  homes: z.record(
    z.string(),
    z.strictObject({ folder: z.string(), underlayIndex: z.int(), ports: z.array(z.int()) }),
  ),
  /** Kernel settings as they were before the first lab changed them. */
  settings: z.record(z.string(), z.strictObject({ before: z.string(), ours: z.string() })),
  /** Folders, and mounts on them, that were not there before the first lab. */
  folders: z.array(z.strictObject({ path: z.string(), isMount: z.boolean() })),
})
type MachineRecord = z.infer<typeof machineRecord>

export interface MachineClaim {
  underlayIndex: number
  ports: number[]
}

export class Machine {
  readonly #folder: string
  readonly #file: string

  constructor(folder: string = MACHINE_FOLDER) {
    this.#folder = folder
    this.#file = join(folder, 'machine.json')
  }

  /**
   * Claims the id of the home and what `choose` picks, given what other labs have claimed. A claim that this home
   * holds already is renewed. Throws SETUP_FAILED if another living home has the same id.
   */
  async claim(
    home: LabHome,
    choose: (taken: MachineClaim[]) => Promise<MachineClaim>,
  ): Promise<MachineClaim> {
    return this.#change(async (record) => {
      forgetRemoved(record, home)
      requireOwnId(record, home)
      const others = Object.entries(record.homes).filter(([id]) => id !== home.id)
      const claim = await choose(
        others.map(([, { underlayIndex, ports }]) => ({ underlayIndex, ports })),
      )
      record.homes[home.id] = { folder: home.folder, ...claim }
      return claim
    })
  }

  /**
   * Throws SETUP_FAILED if another living home has the id of this one: what is found under the id is then not ours to
   * end. Changes nothing.
   */
  requireOwnId(home: LabHome): void {
    const record = this.#read()
    forgetRemoved(record, home)
    requireOwnId(record, home)
  }

  /** Whether this home has claims, that is, whether a lab was started in it in this boot and not taken down. */
  knows(home: LabHome): boolean {
    return this.#read().homes[home.id]?.folder === home.folder
  }

  /** Sets a number of /proc/sys to at least `value` while any lab runs. */
  async raiseSetting(path: string, value: number): Promise<void> {
    await this.#change(async (record) => {
      const before = readFileSync(path, 'utf8').trim()
      if (Number(before) >= value) return
      record.settings[path] ??= { before, ours: String(value) }
      this.#write(record)
      writeFileSync(path, String(value))
    })
  }

  /** Notes folders that programs of a lab will make, if they are not there now. */
  async noteFolders(paths: readonly string[]): Promise<void> {
    await this.#change(async (record) => {
      for (const path of paths) {
        if (record.folders.some((folder) => folder.path === path)) continue
        if (!existsSync(path)) record.folders.push({ path, isMount: false })
        else if (path === NETNS_FOLDER && !isMountPoint(path))
          record.folders.push({ path, isMount: true })
      }
    })
  }

  /** Gives up all of a home. With the last one, everything is as it was before the first. Idempotent. */
  async release(home: LabHome): Promise<void> {
    if (!existsSync(this.#file)) return
    await this.#change(async (record) => {
      if (record.homes[home.id]?.folder === home.folder) delete record.homes[home.id]
      forgetRemoved(record, home)
      if (Object.keys(record.homes).length > 0) return
      for (const [path, { before, ours }] of Object.entries(record.settings)) {
        // Somebody who changed it meanwhile meant it.
        if (readFileSync(path, 'utf8').trim() === ours) writeFileSync(path, before)
      }
      record.settings = {}
      for (const folder of record.folders.toReversed()) await removeNoted(folder)
      record.folders = []
    })
  }

  async #change<Result>(change: (record: MachineRecord) => Promise<Result>): Promise<Result> {
    return withLock(
      { name: `machine${this.#folder}`, doing: 'claiming names and ports', waitMs: LOCK_WAIT_MS },
      async () => {
        const record = this.#read()
        const result = await change(record)
        const isEmpty =
          Object.keys(record.homes).length === 0 &&
          Object.keys(record.settings).length === 0 &&
          record.folders.length === 0
        if (isEmpty) {
          rmSync(this.#file, { force: true })
          if (existsSync(this.#folder)) rmdirSync(this.#folder)
        } else this.#write(record)
        return result
      },
    )
  }

  #read(): MachineRecord {
    const text = readIfThere(this.#file)
    if (text === undefined) return { version: 1, homes: {}, settings: {}, folders: [] }
    try {
      return machineRecord.parse(JSON.parse(text))
    } catch (cause) {
      throw new PlatformError(
        'SETUP_FAILED',
        { path: this.#file, next: 'run `down` with the version that wrote it, or remove the file' },
        { message: 'The record of the labs on this machine cannot be read.', cause },
      )
    }
  }

  #write(record: MachineRecord): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    writeJson(this.#file, record, 0o600)
  }
}

/** A home that was removed by hand has no claims any more. */
function forgetRemoved(record: MachineRecord, mine: LabHome): void {
  for (const [id, other] of Object.entries(record.homes)) {
    if (!existsSync(join(other.folder, 'state.json')) && other.folder !== mine.folder)
      delete record.homes[id]
  }
}

function requireOwnId(record: MachineRecord, home: LabHome): void {
  const holder = record.homes[home.id]
  if (holder === undefined || holder.folder === home.folder) return
  throw new PlatformError(
    'SETUP_FAILED',
    { next: 'use a home with another name' },
    { message: `${home.folder} and ${holder.folder} have the same short id ${home.id}.` },
  )
}

function isMountPoint(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === path)
}

async function removeNoted(folder: { path: string; isMount: boolean }): Promise<void> {
  if (!existsSync(folder.path)) return
  try {
    // `ip netns add` mounts its folder onto itself.
    if (folder.path === NETNS_FOLDER && isMountPoint(folder.path))
      await run({ argv: ['umount', folder.path] })
    if (!folder.isMount) rmdirSync(folder.path)
  } catch {
    // Not empty: somebody else uses it by now, so it is theirs.
  }
}
