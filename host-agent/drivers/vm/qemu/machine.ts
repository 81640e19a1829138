import { createConnection, type Socket } from 'node:net'
import { PlatformError, type Clock, type Random } from '@nubo/base'
import {
  connectQmp,
  QmpError,
  type QmpClient,
  type QmpEvent,
  type QmpReturn,
  type Timers,
} from '@nubo/wire-qmp'
import { SerialLog } from '../serial-log.ts'

export type MachineStatus = QmpReturn<'query-status'>['status']

export interface MachineSockets {
  readonly qmpSocket: string
  readonly serialSocket: string
}

export interface MachineDeps {
  readonly clock: Clock
  readonly random: Random
  /** For both sockets together; a QEMU that is being started makes them a moment later. */
  readonly connectTimeoutMs: number
  readonly onEvent: (event: QmpEvent) => void
  readonly signal?: AbortSignal
}

const RETRY_PAUSE_MS = 10
/** A QEMU that works answers within milliseconds. */
const COMMAND_TIMEOUT_MS = 10_000
const SERIAL_TIMEOUT_MS = 5_000

/** A QEMU that runs: its monitor and its serial port. Whoever closes it leaves QEMU as it is. */
export class Machine {
  readonly serial: SerialLog
  /** Resolves when QEMU has ended the connection; not after `close`. */
  readonly lost: Promise<void>
  readonly #qmp: QmpClient
  readonly #port: Socket

  /** Rejects with ENGINE_UNAVAILABLE. */
  static async connect(sockets: MachineSockets, deps: MachineDeps): Promise<Machine> {
    const { clock, random, connectTimeoutMs } = deps
    const timers: Timers = {
      set: (fire, delayMs) => clock.after(delayMs, fire),
      // Only what `set` gave comes here.
      clear: (timer) => (timer as ReturnType<Clock['after']>).cancel(),
    }
    try {
      const qmp = await connectQmp({
        path: sockets.qmpSocket,
        random: () => random.fraction(),
        timers,
        connectTimeoutMs,
        greetingTimeoutMs: connectTimeoutMs,
        commandTimeoutMs: COMMAND_TIMEOUT_MS,
        retryPauseMs: RETRY_PAUSE_MS,
        onEvent: deps.onEvent,
        ...(deps.signal === undefined ? {} : { signal: deps.signal }),
      })
      try {
        return new Machine(qmp, await connectPort(sockets.serialSocket, clock))
      } catch (error) {
        qmp.close()
        throw error
      }
    } catch (cause) {
      throw unavailable('QEMU does not answer', cause)
    }
  }

  private constructor(qmp: QmpClient, port: Socket) {
    this.#qmp = qmp
    this.#port = port
    this.serial = new SerialLog((bytes, done) => {
      port.write(bytes, () => done())
    })
    // Always read, whoever looks: a guest must not wait for its console, and QEMU keeps nothing for later.
    port.on('data', (bytes: Buffer) => this.serial.add(bytes))
    port.on('error', () => undefined)
    port.on('close', () => this.serial.end())
    const lost = Promise.withResolvers<void>()
    this.lost = lost.promise
    void qmp.closed.then(({ end }) => {
      port.destroy()
      if (end !== 'closed_here') lost.resolve()
    })
  }

  /** Rejects with ENGINE_UNAVAILABLE, as do the others. */
  async status(timeoutMs: number): Promise<MachineStatus> {
    try {
      return (await this.#qmp.run('query-status', {}, { timeoutMs })).status
    } catch (error) {
      throw unavailable('QEMU does not tell its state', error)
    }
  }

  async go(): Promise<void> {
    await this.#do('cont')
  }

  async hold(): Promise<void> {
    await this.#do('stop')
  }

  async pressPower(): Promise<void> {
    await this.#do('system_powerdown')
  }

  /** Lets QEMU end itself; its process may need a moment more. */
  async quit(): Promise<void> {
    await this.#qmp.quit().catch((error: unknown) => {
      throw unavailable('QEMU does not end', error)
    })
  }

  /** Idempotent. */
  close(): void {
    this.#qmp.close()
    this.#port.destroy()
  }

  async #do(name: 'cont' | 'stop' | 'system_powerdown'): Promise<void> {
    try {
      await this.#qmp.run(name)
    } catch (error) {
      throw unavailable(`QEMU does not do ${name}`, error)
    }
  }
}

function connectPort(socketPath: string, clock: Clock): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path: socketPath })
    const timer = clock.after(SERIAL_TIMEOUT_MS, () => socket.destroy(new Error('not in time')))
    socket.once('error', (error) => {
      timer.cancel()
      reject(error)
    })
    socket.once('connect', () => {
      timer.cancel()
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}

function unavailable(message: string, cause: unknown): PlatformError {
  const isUnknown = cause instanceof QmpError && cause.outcome === 'unknown'
  return new PlatformError('ENGINE_UNAVAILABLE', isUnknown ? { isUnknown } : {}, { message, cause })
}
