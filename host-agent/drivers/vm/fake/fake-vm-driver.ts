import type { Duplex } from 'node:stream'
import { PlatformError, type Clock } from '@nubo/base'
import type { ImageReference, RegistryToken, Subscription } from '../../set/set-driver.ts'
import { checkVmId, checkVmSpec } from '../spec-rules.ts'
import { checkImage, checkStart } from '../start-rules.ts'
import type { FoundVm, VmDriver, VmEvent, VmHost, VmSpec } from '../vm-driver.ts'
import type { VmImage } from '../vm-images.ts'
import { obedientGuest, type FakeGuest } from './fake-guest.ts'
import { FakeVmHost, type FakeRun } from './fake-vm-host.ts'

/** The calls that a test can make fail or wait. */
export type FakeVmCall =
  | 'prepare'
  | 'list'
  | 'find'
  | 'ensureImage'
  | 'start'
  | 'shutDown'
  | 'kill'
  | 'pause'
  | 'resume'
  | 'remove'
  | 'serial'

export interface FakeVmDriverOptions {
  readonly clock: Clock
  /** Runs before each call takes effect; what it throws, the call rejects with. For delays and failures by rule. */
  readonly before?: (call: FakeVmCall, vmId: string | null) => Promise<void> | void
  /** What guests do; by default all are obedient. */
  readonly guest?: (spec: VmSpec) => FakeGuest
}

/** VMs in memory: for simulated hosts and tests. Nothing runs; everything else is as with QEMU. */
export class FakeVmDriver implements VmDriver {
  readonly fakeHost: FakeVmHost
  readonly #options: FakeVmDriverOptions
  readonly #failures = new Map<FakeVmCall, unknown[]>()
  readonly #transfers = new Map<string, Promise<void>>()
  readonly #listeners = new Set<(event: VmEvent) => void>()
  #prepared: VmHost | null = null
  #cutNextStart: unknown = null

  constructor(options: FakeVmDriverOptions, host: FakeVmHost = new FakeVmHost()) {
    this.#options = options
    this.fakeHost = host
  }

  // What a test does to the host.

  /** The next `call` rejects with `error` and does nothing; several are used up in order. */
  failNext(call: FakeVmCall, error: unknown): void {
    this.#failures.set(call, [...(this.#failures.get(call) ?? []), error])
  }

  /** The next `start` rejects with `error` half-way: what it leaves is `incomplete`. */
  cutNextStart(error: unknown): void {
    this.#cutNextStart = error
  }

  /** QEMU crashes. No-op if it does not run. */
  crash(vmId: string): void {
    this.fakeHost.end(vmId, 'crashed')
  }

  // What a driver does.

  async prepare(): Promise<VmHost> {
    await this.#enter('prepare', null)
    this.#prepared = { name: 'fake', version: '1', accelerator: 'tcg' }
    return this.#prepared
  }

  host(): VmHost | null {
    return this.#prepared
  }

  async list(): Promise<FoundVm[]> {
    await this.#enter('list', null)
    return this.fakeHost.list()
  }

  async find(vmId: string): Promise<FoundVm | null> {
    await this.#enter('find', vmId)
    return this.fakeHost.find(vmId)
  }

  async ensureImage(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void = () => {},
  ): Promise<void> {
    const { digest } = image
    if (this.fakeHost.images.has(digest)) return await this.#enter('ensureImage', null)
    const transfer =
      this.#transfers.get(digest) ??
      this.#fetch(image, auth, onProgress).finally(() => this.#transfers.delete(digest))
    this.#transfers.set(digest, transfer)
    await transfer
  }

  async start(spec: VmSpec): Promise<void> {
    checkVmSpec(spec)
    await this.#enter('start', spec.vmId)
    const found = this.fakeHost.find(spec.vmId)
    if (checkStart(found, spec) === 'runs') return
    const { digest } = spec.image
    if (!this.fakeHost.images.has(digest))
      throw new PlatformError(
        'IMAGE_PULL_FAILED',
        { digest },
        { message: 'the host does not have it' },
      )
    checkImage(spec, this.#imageOf(spec))
    this.fakeHost.make(spec)
    const cut = this.#cutNextStart
    this.#cutNextStart = null
    if (cut !== null) throw cut
    const guest = (this.#options.guest ?? (() => obedientGuest))(spec)
    this.fakeHost.start(spec.vmId, guest, this.#options.clock)
  }

  async shutDown(vmId: string): Promise<void> {
    await this.#enter('shutDown', vmId)
    this.fakeHost.pressPower(vmId)
  }

  async kill(vmId: string): Promise<void> {
    await this.#enter('kill', vmId)
    this.fakeHost.end(vmId, 'killed')
  }

  async pause(vmId: string): Promise<void> {
    await this.#enter('pause', vmId)
    const run = this.#answering(vmId)
    if (run.state === 'paused') return
    run.state = 'paused'
    this.fakeHost.tell({ type: 'changed', vmId })
  }

  async resume(vmId: string): Promise<void> {
    await this.#enter('resume', vmId)
    const run = this.#answering(vmId)
    if (run.state === 'running') return
    run.resume()
    this.fakeHost.tell({ type: 'changed', vmId })
  }

  async remove(vmId: string): Promise<void> {
    await this.#enter('remove', vmId)
    this.fakeHost.remove(vmId)
  }

  async serial(vmId: string): Promise<Duplex> {
    await this.#enter('serial', vmId)
    return this.#running(vmId).serial.open()
  }

  events(listener: (event: VmEvent) => void): Subscription {
    const entry = (event: VmEvent): void => listener(event)
    this.fakeHost.listeners.add(entry)
    this.#listeners.add(entry)
    return { close: () => void this.fakeHost.listeners.delete(entry) }
  }

  async close(): Promise<void> {
    for (const entry of this.#listeners) this.fakeHost.listeners.delete(entry)
  }

  async #enter(call: FakeVmCall, vmId: string | null): Promise<void> {
    if (vmId !== null) checkVmId(vmId)
    await this.#options.before?.(call, vmId)
    if (!this.fakeHost.isUp)
      throw new PlatformError('ENGINE_UNAVAILABLE', {}, { message: 'the host is off' })
    const failures = this.#failures.get(call)
    if (failures !== undefined && failures.length > 0) throw failures.shift()
  }

  async #fetch(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress: (progress: string) => void,
  ): Promise<void> {
    await this.#enter('ensureImage', null)
    await auth()
    onProgress('asking the registry')
    if (this.fakeHost.absentImages.has(image.digest))
      throw new PlatformError('IMAGE_PULL_FAILED', { ...image }, { message: 'no such image' })
    this.fakeHost.images.add(image.digest)
  }

  /** Images of the fake boot either way, so that simulated hosts need not know more of them than their digests. */
  #imageOf({ boot }: VmSpec): VmImage {
    const { imageBytes: sizeBytes } = this.fakeHost
    return boot.from === 'kernel'
      ? { kind: 'kernel', kernelPath: 'kernel', initrdPath: null }
      : { kind: 'disk', path: 'disk', format: 'qcow2', sizeBytes }
  }

  #running(vmId: string): FakeRun {
    if (this.fakeHost.find(vmId) === null) throw new PlatformError('NOT_FOUND', { vmId })
    const run = this.fakeHost.run(vmId)
    if (run === null)
      throw new PlatformError('NOT_ALLOWED_NOW', { vmId }, { message: 'the VM does not run' })
    return run
  }

  #answering(vmId: string): FakeRun {
    const run = this.#running(vmId)
    if (run.state === 'panicked')
      throw new PlatformError('NOT_ALLOWED_NOW', { vmId }, { message: 'the guest has panicked' })
    return run
  }
}
