import path from 'node:path'
import { PlatformError, type Clock, type Random } from '@nubo/base'
import type { Log } from '@nubo/runtime/process'
import type { QmpEvent } from '@nubo/wire-qmp'
import type { FoundVm, VmEvent } from '../vm-driver.ts'
import { Machine, type MachineSockets, type MachineStatus } from './machine.ts'
import { hasEnded, isAlive } from './processes.ts'
import type { KeptRecord, RunningVm, VmRecord } from './vm-records.ts'

/** For a QEMU that runs already. */
const ADOPT_TIMEOUT_MS = 5_000
/** A QEMU that does not tell its state for so long counts as hanging. */
const ANSWER_TIMEOUT_MS = 3_000
/** From the end of the monitor's connection to the end of the process. */
const END_TIMEOUT_MS = 15_000

/** What a look at a VM shows; `off`: the guest has shut down, and its QEMU waits for somebody to see it. */
export type Seen = FoundVm | 'off'

export interface RunningVmsDeps {
  readonly runFolder: string
  readonly bootId: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly tell: (event: VmEvent) => void
  /** The guest has shut down: to be looked at. */
  readonly onOff: (vmId: string) => void
}

/** The QEMUs that run and the connections to them, one each. */
export class RunningVms {
  readonly #deps: RunningVmsDeps
  readonly #machines = new Map<string, Machine>()
  readonly #adoptions = new Map<string, Promise<Machine>>()
  /** For a QEMU that does not answer any more. */
  readonly #lastStates = new Map<string, FoundVm['state']>()
  #isClosed = false

  constructor(deps: RunningVmsDeps) {
    this.#deps = deps
  }

  folderOf(vmId: string): string {
    return path.join(this.#deps.runFolder, vmId)
  }

  socketsOf(vmId: string): MachineSockets {
    const folder = this.folderOf(vmId)
    return { qmpSocket: path.join(folder, 'qmp'), serialSocket: path.join(folder, 'serial') }
  }

  /** Connects to a QEMU that is being started. Rejects with ENGINE_UNAVAILABLE. */
  async connect(vmId: string, connectTimeoutMs: number, signal: AbortSignal): Promise<Machine> {
    return await this.#open(vmId, connectTimeoutMs, signal)
  }

  /** From now on the end of this process is told. */
  watch(record: VmRecord, run: RunningVm, machine: Machine): void {
    const { vmId } = record.spec
    this.#machines.set(vmId, machine)
    void machine.lost.then(async () => {
      if (this.#machines.get(vmId) === machine) this.#machines.delete(vmId)
      const { clock, bootId, log } = this.#deps
      if (await hasEnded(run, { clock, bootId, timeoutMs: END_TIMEOUT_MS })) {
        this.#lastStates.delete(vmId)
        if (!this.#isClosed) this.#deps.tell({ type: 'ended', vmId })
        return
      }
      log.warn('the monitor of a VM was lost, and its QEMU runs on', { vmId, pid: run.pid })
      if (!this.#isClosed) this.#deps.tell({ type: 'changed', vmId })
    })
  }

  /** The connection to a QEMU that runs, also to one of another life of the agent. Rejects with ENGINE_UNAVAILABLE. */
  async machine(record: VmRecord, run: RunningVm): Promise<Machine> {
    const { vmId } = record.spec
    const known = this.#machines.get(vmId)
    if (known !== undefined) return known
    if (this.#isClosed)
      throw new PlatformError('ENGINE_UNAVAILABLE', {}, { message: 'the driver is closed' })
    const adoption =
      this.#adoptions.get(vmId) ??
      this.#open(vmId, ADOPT_TIMEOUT_MS)
        .then((machine) => {
          this.watch(record, run, machine)
          // Closed while it was on its way.
          if (this.#isClosed) this.forget(vmId)
          return machine
        })
        .finally(() => this.#adoptions.delete(vmId))
    this.#adoptions.set(vmId, adoption)
    return await adoption
  }

  /** What the record and the host say of the VM together. Changes nothing. */
  async look(record: KeptRecord, timeoutMs = ANSWER_TIMEOUT_MS): Promise<Seen> {
    const { run, isRemoving } = record
    if (isRemoving || run.at === 'starting') return found(record, 'incomplete')
    if (run.at === 'none') return found(record, 'stopped')
    const isOver = (): boolean => !isAlive(run, this.#deps.bootId)
    if (isOver()) return ended(record, run)
    let status: MachineStatus
    try {
      status = await (await this.machine(record, run)).status(timeoutMs)
    } catch (error) {
      // It may have ended in this moment.
      if (isOver()) return ended(record, run)
      const { vmId } = record.spec
      this.#deps.log.warn('the QEMU of a VM does not answer', { vmId, pid: run.pid, error })
      return running(record, run, this.#lastStates.get(vmId) ?? 'running', false)
    }
    const state = stateOf(status)
    if (state === 'off') return 'off'
    this.#lastStates.set(record.spec.vmId, state)
    // It stands before the guest's first instruction: the agent that started it ended there.
    if (state === 'incomplete') return found(record, 'incomplete')
    return running(record, run, state, true)
  }

  /** Lets go of the connection, of which the end is not told then. */
  forget(vmId: string): void {
    this.#machines.get(vmId)?.close()
    this.#machines.delete(vmId)
    this.#lastStates.delete(vmId)
  }

  close(): void {
    this.#isClosed = true
    for (const vmId of this.#machines.keys()) this.forget(vmId)
  }

  async #open(vmId: string, connectTimeoutMs: number, signal?: AbortSignal): Promise<Machine> {
    const { clock, random } = this.#deps
    return await Machine.connect(this.socketsOf(vmId), {
      clock,
      random,
      connectTimeoutMs,
      onEvent: (event) => this.#hear(vmId, event),
      ...(signal === undefined ? {} : { signal }),
    })
  }

  #hear(vmId: string, event: QmpEvent): void {
    if (this.#isClosed) return
    switch (event.name) {
      case 'SHUTDOWN':
        return this.#deps.onOff(vmId)
      case 'STOP':
      case 'RESUME':
      case 'GUEST_PANICKED':
        return this.#deps.tell({ type: 'changed', vmId })
      default:
    }
  }
}

function stateOf(status: MachineStatus): FoundVm['state'] | 'off' {
  switch (status) {
    case 'shutdown':
      return 'off'
    case 'prelaunch':
      return 'incomplete'
    case 'guest-panicked':
    // The processor met what it cannot go on from (KVM).
    case 'internal-error':
      return 'panicked'
    case 'running':
      return 'running'
    default:
      return 'paused'
  }
}

function found({ spec, end }: VmRecord, state: 'incomplete' | 'stopped'): FoundVm {
  const { vmId, epoch, specHash } = spec
  return {
    vmId,
    epoch,
    specHash,
    state,
    accelerator: null,
    isAnswering: true,
    startedAtMs: null,
    end,
  }
}

function ended(record: VmRecord, run: RunningVm): FoundVm {
  return { ...found(record, 'stopped'), end: run.isKilled ? 'killed' : 'crashed' }
}

function running(
  record: VmRecord,
  { accelerator, startedAtMs }: RunningVm,
  state: FoundVm['state'],
  isAnswering: boolean,
): FoundVm {
  return {
    ...found(record, 'stopped'),
    state,
    accelerator,
    isAnswering,
    startedAtMs,
    end: null,
  }
}
