import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { signalProcess, start, type RunningProgram } from '@nubo/runtime/process'
import { connectQmp, type QmpClient } from '@nubo/wire-qmp'
import { waitUntil } from '../../tests/support/wait.ts'
import { TEST_GUEST_READY, type TestGuestState } from '../state.ts'

const READY_TIMEOUT_MS = 60_000
const ANSWER_TIMEOUT_MS = 10_000

// Places for what is plugged in later: a PCI port for each, and a controller for SCSI disks.
const MACHINE = [
  '-nodefaults -no-user-config -display none -no-reboot',
  '-machine q35 -accel tcg,thread=multi,tb-size=32 -cpu qemu64 -m 128 -smp 1,maxcpus=2',
  '-device pcie-root-port,id=rp1,chassis=1,slot=1',
  '-device pcie-root-port,id=rp2,chassis=2,slot=2',
  '-device pcie-root-port,id=rp3,chassis=3,slot=3',
  '-device virtio-scsi-pci,id=scsi0 -device pvpanic-pci -device virtio-rng-pci',
].flatMap((options) => options.split(' '))

/** A real QEMU with the test guest in it, for one test. */
export class GuestMachine {
  readonly folder: string
  readonly qmp: QmpClient
  /** Names of what QEMU has told, from its start on. */
  readonly events: readonly string[]
  readonly exited: RunningProgram['exited']
  readonly #port: number

  /**
   * Is ready when this returns; is killed, and its folder removed, when the test ends. `boot` are the arguments that say what is started,
   * `network` what the network of QEMU does beside DHCP. It leads nowhere but to the loopback of this machine.
   */
  static async start(
    t: TestContext,
    { boot, network = '' }: { boot: readonly string[]; network?: string },
  ): Promise<GuestMachine> {
    const folder = await mkdtemp(join(tmpdir(), 'nubo-guest-test-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const [socket, serial, log] = ['qmp', 'serial', 'log'].map((name) => join(folder, name))
    // proof: three names give three paths
    const paths = { socket: socket!, serial: serial!, log: log! }
    const user = `user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:80${network}`
    const program = start({
      argv: [
        'qemu-system-x86_64',
        ...MACHINE,
        ...boot,
        '-serial',
        `file:${paths.serial}`,
        '-qmp',
        `unix:${paths.socket},server=on,wait=off`,
        '-netdev',
        user,
        '-device',
        'virtio-net-pci,netdev=net0,romfile=',
      ],
      logFile: paths.log,
    })
    // A test file that ends early, by an exception outside of a test, must leave no machine behind.
    const onExit = (): void => void signalProcess(program.pid, 'SIGKILL')
    process.once('exit', onExit)
    t.after(async () => {
      await program.stop({ signal: 'SIGKILL' })
      process.off('exit', onExit)
    })
    const said = async (): Promise<string> =>
      `${await readFile(paths.log, 'utf8')}${await readFile(paths.serial, 'utf8').catch(() => '')}`
    try {
      const retried = { connectTimeoutMs: READY_TIMEOUT_MS, retryPauseMs: 20 }
      const qmp = await connectQmp({ path: paths.socket, random: Math.random, ...retried })
      const events: string[] = []
      qmp.onEvent(({ name }) => events.push(name))
      const port = await forwardedPort(qmp)
      const ready = { timeoutMs: READY_TIMEOUT_MS, what: 'the guest is ready' }
      await waitUntil(said, (text) => text.includes(`\n${TEST_GUEST_READY}\r\n`), ready)
      return new GuestMachine({ folder, qmp, program, port, events })
    } catch (cause) {
      throw new Error(`the guest did not start; it said: ${await said()}`, { cause })
    }
  }

  private constructor(parts: {
    folder: string
    qmp: QmpClient
    program: RunningProgram
    port: number
    events: readonly string[]
  }) {
    this.events = parts.events
    this.folder = parts.folder
    this.qmp = parts.qmp
    this.exited = parts.program.exited
    this.#port = parts.port
  }

  async get(path: string): Promise<Response> {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
    return await fetch(`http://127.0.0.1:${this.#port}${path}`, { signal })
  }

  async state(): Promise<TestGuestState> {
    // proof: the tests compare what is in it
    return (await (await this.get('/state.json')).json()) as TestGuestState
  }

  /** The state, as soon as `isSo` of it. */
  async stateWhen(what: string, isSo: (state: TestGuestState) => boolean): Promise<TestGuestState> {
    return await waitUntil(() => this.state(), isSo, { timeoutMs: READY_TIMEOUT_MS, what })
  }
}

/** The port of this machine that leads to port 80 of the guest; the system chose it. */
async function forwardedPort(qmp: QmpClient): Promise<number> {
  const text = await qmp.execute('human-monitor-command', { 'command-line': 'info usernet' })
  const [, port] = /HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)/.exec(String(text)) ?? []
  if (port === undefined) throw new Error(`no forwarded port: ${String(text)}`)
  return Number(port)
}
