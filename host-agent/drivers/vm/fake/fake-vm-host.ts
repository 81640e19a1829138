import type { Clock, Timer } from '@nubo/base'
import { SerialLog } from '../serial-log.ts'
import { MIB } from '../spec-rules.ts'
import type { FoundVm, VmEnd, VmEvent, VmSpec } from '../vm-driver.ts'
import { guestKeys, isGuestKey, type FakeGuest } from './fake-guest.ts'

/** A flooding guest writes so much at once, and so often. */
const FLOOD_BYTES = 64 * 2 ** 10
const FLOOD_MS = 1

/** One run of a guest. It does nothing while it is held: what is due waits. */
export class FakeRun {
  readonly startedAtMs: number
  readonly serial: SerialLog
  readonly guest: FakeGuest
  readonly #clock: Clock
  readonly #timers = new Set<Timer>()
  #isBooted = false
  state: 'running' | 'paused' | 'panicked' = 'running'
  #due: (() => void)[] = []

  constructor(guest: FakeGuest, clock: Clock) {
    this.guest = guest
    this.#clock = clock
    this.startedAtMs = clock.nowMs()
    this.serial = new SerialLog((bytes, done) => {
      this.act(() => this.onInput(bytes.toString('latin1')))
      done()
    })
  }

  onInput: (text: string) => void = () => {}

  get isBooted(): boolean {
    return this.#isBooted
  }

  booted(): void {
    this.#isBooted = true
  }

  after(delayMs: number, deed: () => void): void {
    const timer = this.#clock.after(delayMs, () => {
      this.#timers.delete(timer)
      this.act(deed)
    })
    this.#timers.add(timer)
  }

  act(deed: () => void): void {
    if (this.state === 'running') deed()
    else if (this.state === 'paused') this.#due.push(deed)
  }

  resume(): void {
    this.state = 'running'
    const due = this.#due
    this.#due = []
    for (const deed of due) this.act(deed)
  }

  over(): void {
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    this.state = 'panicked'
    this.serial.end()
  }
}

interface FakeVm {
  readonly spec: VmSpec
  /** Boots are all that a fake disk remembers; null: it has no disk, or none yet. */
  disk: { boots: number; sizeBytes: number } | null
  run: FakeRun | null
  end: VmEnd | null
  isIncomplete: boolean
}

/** What a host holds. Outlives drivers, as the real thing outlives agents. */
export class FakeVmHost {
  readonly images = new Set<string>()
  /** Digests that no registry has. */
  readonly absentImages = new Set<string>()
  readonly listeners = new Set<(event: VmEvent) => void>()
  /** Of the disk in every image. */
  readonly imageBytes: number
  readonly #vms = new Map<string, FakeVm>()
  #isUp = true

  constructor(options: { readonly imageBytes?: number } = {}) {
    this.imageBytes = options.imageBytes ?? MIB
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /** Power failure: every run is over, disks stay. `bringUp` is the next boot. */
  powerOff(): void {
    this.#isUp = false
    for (const vmId of this.#vms.keys()) this.end(vmId, 'crashed')
  }

  bringUp(): void {
    this.#isUp = true
  }

  list(): FoundVm[] {
    return [...this.#vms.values()].map(foundOf)
  }

  find(vmId: string): FoundVm | null {
    const vm = this.#vms.get(vmId)
    return vm === undefined ? null : foundOf(vm)
  }

  run(vmId: string): FakeRun | null {
    return this.#vms.get(vmId)?.run ?? null
  }

  /** Puts a VM there that does not run, with the disk of its earlier life if the epoch is the same. */
  make(spec: VmSpec): void {
    const before = this.#vms.get(spec.vmId)
    const kept = before?.spec.epoch === spec.epoch ? before.disk : null
    const sizeBytes = Math.max(kept?.sizeBytes ?? 0, spec.rootDisk?.sizeBytes ?? 0)
    this.#vms.set(spec.vmId, {
      spec,
      disk: spec.rootDisk === null ? null : { boots: kept?.boots ?? 0, sizeBytes },
      run: null,
      end: before?.end ?? null,
      isIncomplete: true,
    })
  }

  start(vmId: string, guest: FakeGuest, clock: Clock): void {
    const vm = this.#vms.get(vmId)
    if (vm === undefined) throw new Error(`a VM that was not made: ${vmId}`)
    const run = new FakeRun(guest, clock)
    Object.assign(vm, { run, end: null, isIncomplete: false })
    run.onInput = (text) => this.#read(vm.spec.vmId, run, text)
    run.after(guest.bootMs, () => {
      if (vm.disk !== null) vm.disk.boots += 1
      run.booted()
      run.serial.add(Buffer.from(guest.greeting(vm.disk?.boots ?? 1)))
    })
    this.tell({ type: 'changed', vmId })
  }

  /** What the guest makes of its power button. */
  pressPower(vmId: string): void {
    const run = this.run(vmId)
    run?.act(() => {
      const { powerOffMs } = run.guest
      if (run.isBooted && powerOffMs !== null)
        run.after(powerOffMs, () => this.end(vmId, 'shut-down'))
    })
  }

  /** Ends a run; no-op if it does not run. */
  end(vmId: string, end: VmEnd): void {
    const vm = this.#vms.get(vmId)
    if (vm === undefined || vm.run === null) return
    vm.run.over()
    Object.assign(vm, { run: null, end })
    this.tell({ type: 'ended', vmId })
  }

  panic(vmId: string): void {
    const run = this.run(vmId)
    if (run === null) return
    run.state = 'panicked'
    this.tell({ type: 'changed', vmId })
  }

  remove(vmId: string): void {
    this.end(vmId, 'killed')
    this.#vms.delete(vmId)
  }

  /** Later, as from a real QEMU: a listener must not run inside the call that caused the event. A host that is off tells nothing. */
  tell(event: VmEvent): void {
    if (!this.#isUp) return
    for (const listener of this.listeners) {
      queueMicrotask(() => {
        if (this.listeners.has(listener)) listener(event)
      })
    }
  }

  #read(vmId: string, run: FakeRun, text: string): void {
    // Before it has booted nobody reads the port.
    if (!run.isBooted) return
    for (const letter of text) {
      if (!isGuestKey(letter)) {
        run.serial.add(Buffer.from(letter, 'latin1'))
        continue
      }
      const deed = guestKeys[letter]
      if (deed === 'power-off') return this.end(vmId, 'shut-down')
      if (deed === 'panic') return this.panic(vmId)
      return flood(run)
    }
  }
}

function flood(run: FakeRun): void {
  run.serial.add(Buffer.alloc(FLOOD_BYTES, 'x'))
  run.after(FLOOD_MS, () => flood(run))
}

function foundOf({ spec, run, end, isIncomplete }: FakeVm): FoundVm {
  const { vmId, epoch, specHash } = spec
  return {
    vmId,
    epoch,
    specHash,
    state: run?.state ?? (isIncomplete ? 'incomplete' : 'stopped'),
    accelerator: run === null ? null : 'tcg',
    isAnswering: true,
    startedAtMs: run?.startedAtMs ?? null,
    end,
  }
}
