import { readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Duplex } from 'node:stream'
import { isPlatformError, isUuid, PlatformError, type Clock, type Random } from '@nubo/base'
import type { Log } from '@nubo/runtime/process'
import { KeyedLock } from '../../set/keyed-lock.ts'
import type { ImageReference, RegistryToken, Subscription } from '../../set/set-driver.ts'
import { checkVmId, checkVmSpec } from '../spec-rules.ts'
import { checkImage, checkStart } from '../start-rules.ts'
import type { FoundVm, VmDriver, VmEvent, VmHost, VmSpec } from '../vm-driver.ts'
import type { VmImages } from '../vm-images.ts'
import { probeAccelerator } from './accelerator-probe.ts'
import { Accounts, type AccountRange } from './accounts.ts'
import { checkReach, ensureFolders, findPrograms } from './host-checks.ts'
import type { Machine } from './machine.ts'
import { endProcesses, hasEnded } from './processes.ts'
import { RunningVms, type Seen } from './running-vms.ts'
import { removeTaps } from './taps.ts'
import { VmCgroups } from './vm-cgroups.ts'
import { VmRecords, type KeptRecord, type RunningVm, type VmRecord } from './vm-records.ts'
import { VmStarter } from './vm-starter.ts'
import type { VmStep } from './vm-steps.ts'

/** A QEMU whose guest is off ends within milliseconds when it is told to. */
const QUIT_TIMEOUT_MS = 5_000
/** Whoever kills a VM wants to know only whether its guest has shut down by itself; a QEMU that hangs must not hold that up. */
const KILL_LOOK_TIMEOUT_MS = 500

export interface QemuDriverOptions {
  /** Records and disks: on a disk that survives boots, and reachable (`x`) for every account. This driver's alone. */
  readonly folder: string
  /** Sockets. Short, without `,` and `=`; reachable for every account. This driver's alone. */
  readonly runFolder: string
  /** `/nubo/h1`: below it each VM gets `vm-ID`. */
  readonly cgroupParent: string
  /** Account numbers that nothing else on the machine uses: one for each VM, and the first for the driver. */
  readonly accounts: AccountRange
  readonly bootId: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly images: VmImages
  /** Begins the command line of every QEMU, with all rights: for hosts on which it must run in a place of its own. */
  readonly launcher?: readonly string[]
  /** Awaited before each step; for tests that end an agent there. */
  readonly beforeStep?: (step: VmStep) => Promise<void>
}

/** VMs of QEMU on this machine, in the network namespace of the caller. One driver at a time for its folders. */
export function openQemuDriver(options: QemuDriverOptions): VmDriver {
  return new QemuVmDriver(options)
}

class QemuVmDriver implements VmDriver {
  readonly #options: QemuDriverOptions
  readonly #locks = new KeyedLock()
  readonly #listeners = new Set<(event: VmEvent) => void>()
  readonly #records: VmRecords
  readonly #cgroups: VmCgroups
  readonly #running: RunningVms
  readonly #starter: VmStarter
  readonly #accounts: Accounts
  readonly #step: (step: VmStep) => Promise<void>
  #host: VmHost | null = null

  constructor(options: QemuDriverOptions) {
    this.#options = options
    const { folder, runFolder, cgroupParent, bootId, clock, random, log } = options
    this.#step = options.beforeStep ?? (async () => {})
    this.#records = new VmRecords(path.join(folder, 'vms'))
    this.#cgroups = new VmCgroups({ parent: cgroupParent, clock })
    this.#accounts = new Accounts(options.accounts)
    this.#running = new RunningVms({
      runFolder,
      bootId,
      clock,
      random,
      log,
      tell: (event) => this.#tell(event),
      onOff: (vmId) => {
        this.#locks
          .run(vmId, async () => await this.#look(vmId))
          .catch((error: unknown) => log.warn('a VM that is off was left', { vmId, error }))
      },
    })
    this.#starter = new VmStarter({
      records: this.#records,
      running: this.#running,
      cgroups: this.#cgroups,
      clock,
      bootId,
      launcher: options.launcher ?? [],
      step: this.#step,
    })
  }

  async prepare(): Promise<VmHost> {
    const { folder, launcher = [], accounts, bootId, log } = this.#options
    await ensureFolders(this.#options)
    this.#cgroups.check()
    const version = await findPrograms()
    await checkReach(this.#options, { uid: accounts.base, launcher })
    const probe = { folder, bootId, uid: accounts.base, version, log }
    const accelerator = await probeAccelerator(probe)
    await this.#cleanUp()
    this.#host = { name: 'qemu', version, accelerator }
    await this.list()
    return this.#host
  }

  host(): VmHost | null {
    return this.#host
  }

  async list(): Promise<FoundVm[]> {
    const ids = await this.#records.list()
    const found = await Promise.all(
      ids.map(async (vmId) => {
        try {
          await this.#records.boundLog(vmId)
          return await this.#find(vmId)
        } catch (error) {
          // One that cannot be looked at must not hide the others.
          this.#options.log.error('a VM cannot be looked at', { vmId, error })
          return null
        }
      }),
    )
    return found.filter((vm) => vm !== null)
  }

  async find(vmId: string): Promise<FoundVm | null> {
    checkVmId(vmId)
    return await this.#find(vmId)
  }

  async ensureImage(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void = () => {},
  ): Promise<void> {
    await this.#options.images.ensure(image, auth, onProgress)
  }

  async start(spec: VmSpec): Promise<void> {
    checkVmSpec(spec)
    const { vmId } = spec
    await this.#locks.run(vmId, async () => {
      const host = this.#host
      if (host === null)
        throw new PlatformError('ENGINE_UNAVAILABLE', {}, { message: 'not prepared yet' })
      const { found, record } = await this.#look(vmId)
      if (checkStart(found, spec) === 'runs') return
      const image = await this.#options.images.open(spec.image)
      checkImage(spec, image)
      if (record !== null) await this.#end(vmId, record)
      const before = record?.isRemoving === true ? null : record
      if (record?.isRemoving === true) await this.#erase(vmId, record)
      await this.#starter.start(spec, {
        // How it ended may be known only from what is not there.
        before: before === null ? null : { ...before, end: found?.end ?? before.end },
        uid: this.#accounts.of(vmId),
        image,
        accelerator: host.accelerator,
      })
      this.#tell({ type: 'changed', vmId })
    })
  }

  async shutDown(vmId: string): Promise<void> {
    await this.#change(vmId, async (_record, found, machine) => {
      if (found?.state === 'running' || found?.state === 'paused')
        await (await machine()).pressPower()
    })
  }

  async kill(vmId: string): Promise<void> {
    checkVmId(vmId)
    await this.#locks.run(vmId, async () => {
      const { record, found } = await this.#look(vmId, KILL_LOOK_TIMEOUT_MS)
      if (record === null) return
      const { run } = record
      const isRunning = found !== null && isRun(found) && run.at === 'running'
      if (!isRunning) {
        await this.#end(vmId, record)
        // One that stood before its first instruction has not crashed: it has not begun.
        const hasBegun = found?.state !== 'incomplete' || run.at !== 'running'
        if (!hasBegun) await this.#writeIfRoom({ ...record, run: { at: 'starting' } })
        return
      }
      await this.#step('kill: intent')
      await this.#writeIfRoom({ ...record, run: { ...run, isKilled: true } })
      await this.#step('kill: signal')
      await this.#end(vmId, record)
      await this.#step('kill: record')
      await this.#writeIfRoom({ ...record, run: { at: 'none' }, end: 'killed' })
    })
  }

  async pause(vmId: string): Promise<void> {
    await this.#change(vmId, async (_record, found, machine) => {
      checkHoldable(vmId, found)
      await (await machine()).hold()
    })
  }

  async resume(vmId: string): Promise<void> {
    await this.#change(vmId, async (_record, found, machine) => {
      checkHoldable(vmId, found)
      await (await machine()).go()
    })
  }

  async remove(vmId: string): Promise<void> {
    checkVmId(vmId)
    await this.#locks.run(vmId, async () => {
      const record = await this.#records.read(vmId)
      await this.#step('remove: record')
      await this.#records.markRemoving(vmId)
      await this.#erase(vmId, record)
    })
  }

  async serial(vmId: string): Promise<Duplex> {
    checkVmId(vmId)
    const record = await this.#records.read(vmId)
    if (record === null) throw new PlatformError('NOT_FOUND', { vmId })
    const seen = await this.#running.look(record)
    if (seen === 'off' || !isRun(seen) || record.run.at !== 'running') throw notRunning(vmId)
    return (await this.#running.machine(record, record.run)).serial.open()
  }

  events(listener: (event: VmEvent) => void): Subscription {
    const entry = (event: VmEvent): void => listener(event)
    this.#listeners.add(entry)
    return { close: () => void this.#listeners.delete(entry) }
  }

  async close(): Promise<void> {
    this.#listeners.clear()
    this.#running.close()
  }

  /** Does `work` alone for this VM, with what is there of it. */
  async #change(
    vmId: string,
    work: (
      record: KeptRecord | null,
      found: FoundVm | null,
      machine: () => Promise<Machine>,
    ) => Promise<void>,
  ): Promise<void> {
    checkVmId(vmId)
    await this.#locks.run(vmId, async () => {
      const { record, found } = await this.#look(vmId)
      await work(record, found, async () => {
        if (record === null || record.run.at !== 'running') throw notRunning(vmId)
        if (found?.isAnswering === false)
          throw new PlatformError(
            'ENGINE_UNAVAILABLE',
            { vmId, next: 'kill the VM if that does not pass' },
            { message: 'the QEMU of the VM does not answer' },
          )
        return await this.#running.machine(record, record.run)
      })
    })
  }

  async #find(vmId: string): Promise<FoundVm | null> {
    const record = await this.#records.read(vmId)
    if (record === null) return null
    const seen = await this.#running.look(record)
    if (seen !== 'off') return seen
    return await this.#locks.run(vmId, async () => (await this.#look(vmId)).found)
  }

  /** Record and state of the VM; one whose guest has shut down is brought to its end. Needs the VM's lock. */
  async #look(
    vmId: string,
    timeoutMs?: number,
  ): Promise<{ record: KeptRecord | null; found: FoundVm | null }> {
    const record = await this.#records.read(vmId)
    if (record === null) return { record, found: null }
    const seen: Seen = await this.#running.look(record, timeoutMs)
    if (seen !== 'off') return { record, found: seen }
    const { run } = record
    if (run.at !== 'running') throw new Error('only a VM that runs can be seen to be off')
    const over: KeptRecord = { ...record, run: { at: 'none' }, end: 'shut-down' }
    await this.#finish(over, run)
    const found = await this.#running.look(over)
    return { record: over, found: found === 'off' ? null : found }
  }

  /** The end is recorded before QEMU may go: without QEMU nobody could tell it from a crash. Without room, both wait. */
  async #finish(over: VmRecord, run: RunningVm): Promise<void> {
    const { vmId } = over.spec
    const { clock, bootId, log } = this.#options
    const machine = await this.#running.machine(over, run)
    if (!(await this.#writeIfRoom(over))) return
    // Its disks are closed as they should be; if it does not do that, they are still consistent.
    await machine.quit().catch((error: unknown) => log.warn('QEMU did not quit', { vmId, error }))
    if (!(await hasEnded(run, { clock, bootId, timeoutMs: QUIT_TIMEOUT_MS })))
      await this.#end(vmId, { ...over, run })
  }

  /** False on a disk that is full, which must not keep a VM from being ended; then its end may be taken for a crash. */
  async #writeIfRoom(record: VmRecord): Promise<boolean> {
    try {
      await this.#records.write(record)
      return true
    } catch (error) {
      if (!isPlatformError(error, 'HOST_DISK_FULL')) throw error
      this.#options.log.warn('the end of a VM could not be recorded', { error })
      return false
    }
  }

  /** Ends what runs of the VM, whoever started it. */
  async #end(vmId: string, { run }: VmRecord): Promise<void> {
    const { clock, bootId } = this.#options
    const of = { cgroups: this.#cgroups, clock, bootId, run: run.at === 'running' ? run : null }
    await endProcesses(vmId, of)
  }

  /** Everything of the VM, the record last. Idempotent. */
  async #erase(vmId: string, record: VmRecord | null): Promise<void> {
    await this.#step('remove: processes')
    const { clock, bootId } = this.#options
    const run = record?.run.at === 'running' ? record.run : null
    await endProcesses(vmId, { cgroups: this.#cgroups, clock, bootId, run })
    await this.#step('remove: taps')
    await removeTaps(record?.spec.interfaces.map(({ hostInterface }) => hostInterface) ?? [])
    await this.#step('remove: cgroup')
    await this.#cgroups.remove(vmId)
    await this.#step('remove: sockets')
    await rm(this.#running.folderOf(vmId), { recursive: true, force: true })
    await this.#step('remove: folder')
    await this.#records.remove(vmId)
    this.#accounts.release(vmId)
  }

  /** What a killed agent left: removals and kills are gone on with, starts that were cut short hold no process. */
  async #cleanUp(): Promise<void> {
    const recorded = new Set<string>()
    for (const vmId of await this.#records.list()) {
      await this.#locks.run(vmId, async () => {
        const record = await this.#records.read(vmId).catch((error: unknown) => {
          this.#options.log.error('a VM is left as it is', { vmId, error })
          return 'damaged' as const
        })
        if (record === 'damaged') return void recorded.add(vmId)
        if (record === null || record.isRemoving) return await this.#erase(vmId, record)
        recorded.add(vmId)
        this.#accounts.keep(vmId, record.uid)
        const { run } = record
        const isKilled = run.at === 'running' && run.isKilled
        if (run.at !== 'running' || isKilled) await this.#end(vmId, record)
        if (isKilled) await this.#records.write({ ...record, run: { at: 'none' }, end: 'killed' })
      })
    }
    const left = [...(await this.#cgroups.list()), ...(await readdir(this.#options.runFolder))]
    for (const vmId of new Set(left)) {
      if (recorded.has(vmId) || !isUuid(vmId)) continue
      await this.#locks.run(vmId, async () => {
        // One that was started meanwhile has a record.
        if ((await this.#records.read(vmId)) === null) await this.#erase(vmId, null)
      })
    }
  }

  /** Later: a listener must not run inside the call that caused the event. */
  #tell(event: VmEvent): void {
    for (const listener of this.#listeners) {
      queueMicrotask(() => {
        if (this.#listeners.has(listener)) listener(event)
      })
    }
  }
}

function isRun({ state }: FoundVm): boolean {
  return state === 'running' || state === 'paused' || state === 'panicked'
}

function checkHoldable(vmId: string, found: FoundVm | null): void {
  if (found === null) throw new PlatformError('NOT_FOUND', { vmId })
  if (found.state === 'panicked')
    throw new PlatformError('NOT_ALLOWED_NOW', { vmId }, { message: 'the guest has panicked' })
  if (!isRun(found)) throw notRunning(vmId)
}

function notRunning(vmId: string): PlatformError {
  return new PlatformError('NOT_ALLOWED_NOW', { vmId }, { message: 'the VM does not run' })
}
