import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { closeSync, openSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

import type { QmpClient, QmpClientOptions } from '../client.ts'
import { connectQmp } from '../connect.ts'

const PROGRAM = 'qemu-system-x86_64'
const DEADLINE_MS = 30_000

/**
 * A machine without a guest: two root ports for hot-plug, room for a second CPU, a virtio-mem device and a
 * balloon. The processors stand still until `cont`.
 */
const MACHINE = [
  '-nodefaults -no-user-config -display none -machine q35 -accel tcg -cpu qemu64 -S',
  '-smp 1,maxcpus=2 -m 64,slots=2,maxmem=1G',
  '-device pcie-root-port,id=rp1,chassis=1,slot=1',
  '-device pcie-root-port,id=rp2,chassis=2,slot=2',
  '-object memory-backend-ram,id=vm0,size=256M',
  '-device virtio-mem-pci,id=vmem0,memdev=vm0,requested-size=0',
  '-device virtio-balloon-pci,id=balloon0',
].flatMap((options) => options.split(' '))

/** A real QEMU in a folder of its own, for one test. */
export class RealQemu {
  readonly folder: string
  readonly socket: string
  readonly #process: ChildProcess
  readonly #exited: Promise<unknown>

  /** Is killed, and its folder removed, when the test ends. */
  static async start(t: TestContext): Promise<RealQemu> {
    const folder = await mkdtemp(join(tmpdir(), 'qmp-'))
    const qemu = RealQemu.startIn(folder)
    // A test file that ends early, by an exception outside of a test, must leave no machine behind.
    const onExit = (): void => qemu.signal('SIGKILL')
    process.once('exit', onExit)
    t.after(async () => {
      process.off('exit', onExit)
      await qemu.kill()
      await rm(folder, { recursive: true, force: true })
    })
    await qemu.#whenSpawned()
    return qemu
  }

  /** For what is no test: the caller kills it and removes the folder. */
  static startIn(folder: string): RealQemu {
    return new RealQemu(folder)
  }

  private constructor(folder: string) {
    this.folder = folder
    this.socket = join(folder, 'qmp')
    const log = openSync(join(folder, 'log'), 'w')
    const monitor = ['-qmp', `unix:${this.socket},server=on,wait=off`]
    this.#process = spawn(PROGRAM, [...MACHINE, ...monitor], { stdio: ['ignore', log, log] })
    closeSync(log)
    this.#exited = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.on('error', () => undefined) // `#whenSpawned` hears it too.
  }

  async #whenSpawned(): Promise<void> {
    try {
      await once(this.#process, 'spawn')
    } catch (cause) {
      throw new Error(
        `${PROGRAM} cannot be started; these tests need it (Debian: qemu-system-x86)`,
        { cause },
      )
    }
  }

  async connect(options: Partial<QmpClientOptions> = {}): Promise<QmpClient> {
    try {
      return await connectQmp({
        path: this.socket,
        random: Math.random,
        connectTimeoutMs: DEADLINE_MS,
        retryPauseMs: 10,
        greetingTimeoutMs: DEADLINE_MS,
        commandTimeoutMs: DEADLINE_MS,
        ...options,
      })
    } catch (cause) {
      throw new Error(`no session: ${await this.log()}`, { cause })
    }
  }

  async log(): Promise<string> {
    return await readFile(join(this.folder, 'log'), 'utf8')
  }

  /** Exit code, or null if a signal ended it. */
  async exited(): Promise<number | null> {
    await this.#exited
    return this.#process.exitCode
  }

  /** SIGSTOP and SIGCONT play a QEMU that hangs. */
  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#process.kill(name)
  }

  /** kill -9, and waits until the process is gone. Idempotent. */
  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#process
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    this.#process.kill('SIGKILL')
    await this.#exited
  }
}
