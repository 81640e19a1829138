import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError, type ErrorCode } from '@nubo/base'
import type { ImageReference, RegistryToken } from '../../set/set-driver.ts'
import { plainVmSpec } from '../testing/plain-vm-spec.ts'
import type { FoundVm, VmDriver, VmEvent, VmInterfaceSpec, VmSpec } from '../vm-driver.ts'

/**
 * A host under test, and the means to do to it what happens to hosts. Its guests write `READY n` once they are up, n being
 * how often they came up from this disk; they write back what they read, but `o` switches them off, `p` makes them panic
 * and `f` makes them write without end.
 */
export interface VmRig {
  /** The next life of the agent; the one before has closed its driver. */
  readonly open: () => VmDriver
  /** Switches itself off when its power button is pressed. */
  readonly image: ImageReference
  /** Ignores its power button. */
  readonly stubbornImage: ImageReference
  readonly absentImage: ImageReference
  /** Of the disk in the images. */
  readonly imageBytes: number
  readonly auth: () => Promise<RegistryToken>
  /** Interfaces that no other VM of the test has. */
  readonly interfaces: (number: number) => readonly VmInterfaceSpec[]
  /** Ends QEMU from outside. */
  readonly crash: (vmId: string) => Promise<void>
  /** What is on the host of a VM, in words; none after it was removed. */
  readonly traces: (spec: VmSpec) => Promise<readonly string[]>
  readonly dispose: () => Promise<void>
}

/** Longer than anything takes on a busy machine. */
export const WAIT_MS = 30_000

/** Looks until there is something to see. */
export async function until<T>(what: string, look: () => Promise<T | null | false>): Promise<T> {
  const deadline = performance.now() + WAIT_MS
  for (;;) {
    const seen = await look()
    if (seen !== null && seen !== false) return seen
    if (performance.now() > deadline) throw new Error(`not within ${WAIT_MS} ms: ${what}`)
    await sleep(10)
  }
}

/** For `assert.rejects`. */
export function hasCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof PlatformError, String(error))
    assert.equal(error.code, code, error.message)
    return true
  }
}

/** A reader of a serial port that gathers what comes. */
export class Console {
  readonly stream: Duplex
  readonly ended: Promise<void>
  text = ''

  constructor(stream: Duplex) {
    this.stream = stream
    stream.on('data', (bytes: Buffer) => (this.text += bytes.toString('latin1')))
    this.ended = new Promise((resolve) => stream.once('close', resolve))
  }

  async until(part: string): Promise<void> {
    await until(
      `${part} on the serial port, which has ${JSON.stringify(this.text.slice(-200))}`,
      async () => this.text.includes(part),
    )
  }
}

/** The driver that a suite is about, and the VMs that its tests make of it. */
export class Stage {
  #rig: VmRig | null = null
  #driver: VmDriver | null = null
  #count = 0

  async open(rig: VmRig): Promise<void> {
    this.#rig = rig
    await this.nextLife()
    for (const image of [rig.image, rig.stubbornImage])
      await this.driver.ensureImage(image, rig.auth)
  }

  get rig(): VmRig {
    if (this.#rig === null) throw new Error('the stage is not open yet')
    return this.#rig
  }

  get driver(): VmDriver {
    if (this.#driver === null) throw new Error('the stage is not open yet')
    return this.#driver
  }

  /** The agent ends and starts again; in between, whatever `meanwhile` does. */
  async nextLife(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    await this.#driver?.close()
    await meanwhile()
    this.#driver = this.rig.open()
    await this.#driver.prepare()
  }

  /** A VM of its own for each call. */
  spec(change: Partial<VmSpec> = {}): VmSpec {
    this.#count += 1
    return plainVmSpec({
      vmId: `0190a000-0003-7000-8000-${String(this.#count).padStart(12, '0')}`,
      image: this.rig.image,
      rootDisk: { sizeBytes: this.rig.imageBytes },
      interfaces: this.rig.interfaces(this.#count),
      ...change,
    })
  }

  /** A VM whose guest is up. */
  async started(change: Partial<VmSpec> = {}): Promise<VmSpec> {
    const vm = this.spec(change)
    await this.driver.start(vm)
    await this.boots(vm, 1)
    return vm
  }

  /** Waits until the guest has come up so often from its disk. */
  async boots(vm: VmSpec, count: number): Promise<void> {
    const port = await this.console(vm)
    await port.until(`READY ${count}\r\n`)
    port.stream.destroy()
  }

  async console(vm: VmSpec): Promise<Console> {
    return new Console(await this.driver.serial(vm.vmId))
  }

  /** Types a letter that the guest acts upon. */
  async type(vm: VmSpec, letter: 'o' | 'p' | 'f'): Promise<void> {
    const port = await this.console(vm)
    port.stream.write(letter)
    if (letter !== 'f') await Promise.race([this.untilNot(vm, 'running'), port.ended])
    else await port.until('xxxx')
    port.stream.destroy()
  }

  async found(vm: VmSpec): Promise<FoundVm> {
    const found = await this.driver.find(vm.vmId)
    assert.ok(found !== null, 'the VM is there')
    return found
  }

  async untilState(vm: VmSpec, state: FoundVm['state']): Promise<FoundVm> {
    return await until(`the VM is ${state}`, async () => {
      const found = await this.found(vm)
      return found.state === state ? found : null
    })
  }

  async untilNot(vm: VmSpec, state: FoundVm['state']): Promise<FoundVm> {
    return await until(`the VM is not ${state}`, async () => {
      const found = await this.found(vm)
      return found.state === state ? null : found
    })
  }

  /** Listens, and waits for one of the events that came. */
  listen(): { readonly sees: (event: VmEvent) => Promise<void>; readonly close: () => void } {
    const seen: VmEvent[] = []
    const subscription = this.driver.events((event) => void seen.push(event))
    return {
      sees: async ({ type, vmId }) =>
        void (await until(`${type} is told`, async () =>
          seen.some((event) => event.type === type && event.vmId === vmId),
        )),
      close: () => subscription.close(),
    }
  }

  async remove(vm: VmSpec): Promise<void> {
    await this.driver.remove(vm.vmId)
    assert.deepEqual(await this.rig.traces(vm), [])
    assert.equal(await this.driver.find(vm.vmId), null)
  }
}
