import { chmod, chown, mkdir, readFile, rm } from 'node:fs/promises'
import { PlatformError, type Clock } from '@nubo/base'
import { findProcess, start, type Argv, type RunningProgram } from '@nubo/runtime/process'
import { MIB } from '../spec-rules.ts'
import type { Accelerator, VmSpec } from '../vm-driver.ts'
import type { VmImage } from '../vm-images.ts'
import { kvmGroup } from './accelerator-probe.ts'
import { unprivileged } from './accounts.ts'
import { machineArgv, TRANSLATION_BYTES } from './machine-argv.ts'
import type { Machine } from './machine.ts'
import { endProcesses } from './processes.ts'
import {
  diskPath,
  growDisk,
  hasDisk,
  makeDisk,
  removeOtherDisks,
  type RootDisk,
} from './root-disk.ts'
import type { RunningVms } from './running-vms.ts'
import { ensureTaps, removeTaps } from './taps.ts'
import type { VmCgroups } from './vm-cgroups.ts'
import type { RunningVm, VmRecord, VmRecords } from './vm-records.ts'
import type { VmStep } from './vm-steps.ts'

/** QEMU answers after 0.2 s alone; dozens that start at once on a small host wait for each other. */
const CONNECT_TIMEOUT_MS = 60_000
/**
 * What QEMU needs besides the guest's memory: its own, devices' queues, caches of disks. Far above what is seen (60 MiB), for
 * whoever reaches it is ended by the kernel.
 */
const OVERHEAD_BYTES = 512 * MIB
/** Processors, the main loop, and a pool of 64 threads for each disk. */
const PIDS_MAX = 512
const LOG_TAIL_BYTES = 2_048

export interface VmStarterDeps {
  readonly records: VmRecords
  readonly running: RunningVms
  readonly cgroups: VmCgroups
  readonly clock: Clock
  readonly bootId: string
  readonly launcher: readonly string[]
  readonly step: (step: VmStep) => Promise<void>
}

/** Makes what a VM needs and starts it. Every step can be repeated; none waits for ever. */
export class VmStarter {
  readonly #deps: VmStarterDeps

  constructor(deps: VmStarterDeps) {
    this.#deps = deps
  }

  /** Of a VM of which nothing runs. `before` is its record. What a failure leaves is `incomplete`. */
  async start(
    spec: VmSpec,
    options: {
      readonly before: VmRecord | null
      readonly uid: number
      readonly image: VmImage
      readonly accelerator: Accelerator
    },
  ): Promise<void> {
    const { before, uid, image, accelerator } = options
    const { records, step } = this.#deps
    await step('start: record')
    await this.#removeOldTaps(spec, before)
    const kept = before?.spec.epoch === spec.epoch ? before.diskBytes : null
    const record = await records.write({
      version: 1,
      spec,
      uid,
      run: { at: 'starting' },
      end: before?.end ?? null,
      diskBytes: kept,
    })
    await step('start: disk')
    const withDisk = await this.#ensureDisk(record, image)
    await step('start: taps')
    await ensureTaps(spec.interfaces, uid)
    await this.#run(withDisk, image, accelerator)
  }

  async #removeOldTaps(spec: VmSpec, before: VmRecord | null): Promise<void> {
    const wanted = new Set(spec.interfaces.map(({ hostInterface }) => hostInterface))
    const old = before?.spec.interfaces.map(({ hostInterface }) => hostInterface) ?? []
    await removeTaps(old.filter((name) => !wanted.has(name)))
  }

  /** The size is recorded before the disk is made and after it has grown: a disk never has more than its record says. */
  async #ensureDisk(record: VmRecord, image: VmImage): Promise<VmRecord> {
    const { records } = this.#deps
    const { rootDisk } = record.spec
    const disk = this.#diskOf(record)
    await removeOtherDisks(disk)
    if (rootDisk === null) return record
    const { sizeBytes } = rootDisk
    if (!hasDisk(disk)) {
      const written = await records.write({ ...record, diskBytes: sizeBytes })
      await makeDisk(disk, { basePath: image.kind === 'disk' ? image.path : null, sizeBytes })
      return written
    }
    if (sizeBytes <= (record.diskBytes ?? 0)) return record
    await growDisk(disk, sizeBytes)
    return await records.write({ ...record, diskBytes: sizeBytes })
  }

  #diskOf({ spec, uid }: VmRecord): RootDisk {
    return { folder: this.#deps.records.folderOf(spec.vmId), epoch: spec.epoch, uid }
  }

  async #run(record: VmRecord, image: VmImage, accelerator: Accelerator): Promise<void> {
    const { cgroups, running, step, records } = this.#deps
    const { spec, uid } = record
    const { vmId } = spec
    await step('start: cgroup')
    const folders = await cgroups.ensure(vmId, {
      cpus: spec.cpus,
      memoryBytes:
        spec.memoryBytes + OVERHEAD_BYTES + (accelerator === 'tcg' ? TRANSLATION_BYTES : 0),
      pidsMax: PIDS_MAX,
    })
    await step('start: sockets')
    const socketFolder = running.folderOf(vmId)
    await rm(socketFolder, { recursive: true, force: true })
    await mkdir(socketFolder, { mode: 0o700 })
    await chown(socketFolder, uid, uid)
    await step('start: qemu')
    const logFile = records.logOf(vmId)
    await rm(logFile, { force: true })
    const program = start({
      argv: await this.#argv(record, image, accelerator),
      cgroups: folders,
      logFile,
      cwd: '/',
    })
    program.release()
    try {
      await step('start: connect')
      const machine = await this.#connect(vmId, program, logFile)
      // From here on nobody can put another socket in the place of QEMU's own, not even an escaped guest.
      await chown(socketFolder, 0, 0)
      await chmod(socketFolder, 0o700)
      await this.#go(record, { machine, pid: program.pid, accelerator })
    } catch (error) {
      running.forget(vmId)
      await endProcesses(vmId, { ...this.#deps, run: null })
      throw error
    }
  }

  async #argv(record: VmRecord, image: VmImage, accelerator: Accelerator): Promise<Argv> {
    const { spec, uid } = record
    const disk = this.#diskOf(record)
    const args = machineArgv(
      spec,
      {
        ...this.#deps.running.socketsOf(spec.vmId),
        disk:
          spec.rootDisk === null
            ? null
            : { path: diskPath(disk), basePath: image.kind === 'disk' ? image.path : null },
        kernel:
          image.kind === 'kernel' ? { path: image.kernelPath, initrdPath: image.initrdPath } : null,
      },
      accelerator,
    )
    const group = accelerator === 'kvm' ? await kvmGroup() : null
    const [program, ...rest] = [
      ...this.#deps.launcher,
      ...unprivileged(uid, ['qemu-system-x86_64', ...args], group),
    ]
    // Never empty: `unprivileged` begins with a program.
    return [program ?? 'setpriv', ...rest]
  }

  /** A QEMU that ends instead of answering says why in its log. */
  async #connect(vmId: string, program: RunningProgram, logFile: string): Promise<Machine> {
    const ended = new AbortController()
    void program.exited.then(() => ended.abort())
    try {
      return await this.#deps.running.connect(vmId, CONNECT_TIMEOUT_MS, ended.signal)
    } catch (cause) {
      const said = await lastWords(logFile)
      throw new PlatformError(
        'VM_START_FAILED',
        { vmId, qemu: said },
        { message: `QEMU did not start${said === '' ? '' : `: ${said}`}`, cause },
      )
    }
  }

  async #go(
    record: VmRecord,
    {
      machine,
      pid,
      accelerator,
    }: { readonly machine: Machine; readonly pid: number; readonly accelerator: Accelerator },
  ): Promise<void> {
    const { records, running, clock, bootId, step } = this.#deps
    const identity = findProcess(pid)
    if (identity === undefined)
      throw new PlatformError('VM_START_FAILED', { pid }, { message: 'QEMU has ended at once' })
    const run: RunningVm = {
      at: 'running',
      bootId,
      pid,
      startTicks: identity.startTicks,
      accelerator,
      startedAtMs: clock.nowMs(),
      isKilled: false,
    }
    await step('start: running')
    await records.write({ ...record, run })
    running.watch(record, run, machine)
    await step('start: go')
    await machine.go()
  }
}

async function lastWords(logFile: string): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '')
  return text.slice(-LOG_TAIL_BYTES).replaceAll('qemu-system-x86_64: ', '').trim()
}
