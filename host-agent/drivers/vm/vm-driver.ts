import type { Duplex } from 'node:stream'
import type { ImageReference, RegistryToken, Subscription } from '../set/set-driver.ts'

/** What runs a guest's instructions: the processor itself, or QEMU's translator, several times slower. */
export type Accelerator = 'kvm' | 'tcg'

export interface VmInterfaceSpec {
  /** Tap device in the host's namespace, made by the driver; belongs to this VM alone. 1 to 15 characters. */
  readonly hostInterface: string
  readonly mac: string
  /** Told to the guest by its device, so that a guest that asks nobody has it too. */
  readonly mtuBytes: number
}

/** How the guest comes up. */
export type VmBoot =
  /** By firmware, from the root disk. */
  | { readonly from: 'disk' }
  /** The image holds a kernel and an initial file system; the root disk, if any, is only attached. */
  | { readonly from: 'kernel'; readonly commandLine: string }

export interface VmRootDisk {
  /** A multiple of 1 MiB; at least what the image asks for. A copy-on-write overlay of it is made at the first start. */
  readonly sizeBytes: number
}

/** What a host needs to run one VM at one epoch. */
export interface VmSpec {
  readonly vmId: string
  /** Counts placements. A driver refuses a lower one than it finds on the host. */
  readonly epoch: number
  /** Of everything below (`vmSpecHash`); `FoundVm.specHash` gives back what the running QEMU was started with. */
  readonly specHash: string
  /** 1 to 63 of a-z, 0-9 and `-`. */
  readonly name: string
  /** Virtual processors, 1 to 64. */
  readonly cpus: number
  /** A multiple of 1 MiB. */
  readonly memoryBytes: number
  readonly boot: VmBoot
  readonly image: ImageReference
  /** Null: no disk of its own, which only a VM that boots from a kernel can do without. */
  readonly rootDisk: VmRootDisk | null
  readonly interfaces: readonly VmInterfaceSpec[]
}

/** Why QEMU does not run any more. */
export type VmEnd =
  /** The guest switched itself off, by itself or because it was asked to. */
  | 'shut-down'
  /** `kill` was called. */
  | 'killed'
  /** It ended in any other way: QEMU crashed, was killed by somebody else, or the host was off meanwhile. */
  | 'crashed'

export interface FoundVm {
  readonly vmId: string
  readonly epoch: number
  readonly specHash: string
  /**
   * `incomplete`: a start was cut short; `start` finishes it. `running`, `paused`: QEMU runs. `panicked`: QEMU runs, the
   * guest's kernel has given up and it stays so until it is killed. `stopped`: only what it keeps is there.
   */
  readonly state: 'incomplete' | 'running' | 'paused' | 'panicked' | 'stopped'
  /** Null while nothing runs. */
  readonly accelerator: Accelerator | null
  /** False: QEMU runs and does not answer (it hangs, or the host is overloaded); `state` is the last that was known. */
  readonly isAnswering: boolean
  /** Milliseconds since 1970 at which QEMU started; null while nothing runs. */
  readonly startedAtMs: number | null
  /** How the last run ended; null while it runs or if it never did. */
  readonly end: VmEnd | null
}

/** Events are hints: look at the VM to know. */
export type VmEvent =
  | { readonly type: 'ended'; readonly vmId: string }
  | { readonly type: 'changed'; readonly vmId: string }

export interface VmHost {
  readonly name: string
  readonly version: string
  /** Probed once per boot, by booting something tiny: that a device exists proves nothing. */
  readonly accelerator: Accelerator
}

/**
 * Runs VMs on one host. It does what it is told when it is told: order, deadlines for guests and back-off are its caller's.
 * QEMU outlives this process: another life of the agent finds it by `list` and goes on.
 *
 * Calls for different VMs may run concurrently; those that change one VM wait for each other.
 *
 * Errors are PlatformErrors: ENGINE_UNAVAILABLE (nothing wrong with the request: retry), INVALID_INPUT (the specification
 * itself), NOT_ALLOWED_NOW (epoch, or a VM in the wrong state), NOT_FOUND, IMAGE_PULL_FAILED, VM_START_FAILED,
 * HOST_DISK_FULL, TOO_MANY_REQUESTS, SETUP_FAILED (`prepare` only).
 */
export interface VmDriver {
  /**
   * Checks what is needed (QEMU, the tap device, an account without rights), probes the accelerator and clears what a
   * killed agent left half-done. To be called first. Idempotent; safe while VMs run.
   */
  prepare(): Promise<VmHost>

  /** Null until `prepare` has succeeded. */
  host(): VmHost | null

  /** Everything of VMs on the host, also what another life of the agent started. Idempotent. */
  list(): Promise<FoundVm[]>

  /** One VM, or null if nothing of it is on the host. Idempotent. */
  find(vmId: string): Promise<FoundVm | null>

  /**
   * Fetches the image unless the host has it, checks it, and keeps it for all VMs of the host. Idempotent; concurrent calls
   * for one digest share one transfer. All or nothing.
   */
  ensureImage(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress?: (progress: string) => void,
  ): Promise<void>

  /**
   * Makes what the VM needs (disk, devices, limits) and starts it; resolves when the guest's processors run. Idempotent: one
   * that runs with this specification stays as it is, one that is paused stays paused, and what an earlier call began is
   * finished. The disk of an earlier run is kept, and grows if the specification says so (it never shrinks); one of a lower
   * epoch is not this VM's and is replaced. NOT_ALLOWED_NOW if it runs with another specification or at a lower epoch: kill it
   * first. IMAGE_PULL_FAILED if the host does not have the image (any more): `ensureImage` fetches it again.
   * Not all or nothing: what a failed call leaves is `incomplete`, or `stopped` as it was if it failed before anything began.
   */
  start(spec: VmSpec): Promise<void>

  /**
   * Presses the power button: the guest may take its time, or ignore it. One that is paused does nothing before it is resumed,
   * one that has panicked nothing at all. Idempotent; one that does not run is off.
   */
  shutDown(vmId: string): Promise<void>

  /** Ends QEMU at once, as pulling the plug would. Disks stay. Idempotent; resolves when nothing of it runs. */
  kill(vmId: string): Promise<void>

  /** Holds the guest's processors. Idempotent. NOT_ALLOWED_NOW if it does not run or has panicked, NOT_FOUND. */
  pause(vmId: string): Promise<void>

  /** Idempotent. NOT_ALLOWED_NOW if it does not run or has panicked, NOT_FOUND. */
  resume(vmId: string): Promise<void>

  /** Ends and removes every trace of the VM, disks too, at once and without grace. Idempotent; a failed call can be repeated. */
  remove(vmId: string): Promise<void>

  /**
   * The guest's first serial port: the last `SERIAL_HISTORY_BYTES` that it wrote while this life of the agent listened, and
   * then what it writes. What is written to it, the guest reads, at its own pace. Up to `SERIAL_READERS_MAX` at a time
   * (TOO_MANY_REQUESTS); a reader that does not keep up loses the oldest part. Ends with the run. NOT_ALLOWED_NOW if it does
   * not run, NOT_FOUND.
   */
  serial(vmId: string): Promise<Duplex>

  /** Tells what happens to VMs from now on. Listeners must not throw. */
  events(listener: (event: VmEvent) => void): Subscription

  /** Ends the connections; VMs run on. Idempotent. */
  close(): Promise<void>
}

/** Of the serial port, kept for who looks later, and for each reader that does not keep up. */
export const SERIAL_HISTORY_BYTES = 64 * 2 ** 10
/** Of one VM. */
export const SERIAL_READERS_MAX = 16
