import { PlatformError, type Clock } from '@nubo/base'
import type { HostContract, StreamRequest } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { ExecStream, SetDriver } from '../drivers/set/set-driver.ts'
import { logged } from '../logged.ts'
import type { WantedStore } from '../wanted/wanted-store.ts'
import { HostStream, type StreamSource } from './host-stream.ts'
import { parsePosition, tracked, type ReadLog } from './log-position.ts'
import { existing, merged, pieces, type LogSource } from './log-source.ts'
import type { StreamDialer } from './stream-socket.ts'

/** More are refused with a reason; twice as many are not even answered. */
export const STREAMS_MAX = 64
const DIAL_TIMEOUT_MS = 10_000

export interface StreamsNeeds {
  readonly clock: Clock
  readonly log: Log
  readonly store: WantedStore
  readonly driver: Pick<SetDriver, 'exec' | 'logs'>
  readonly dialer: StreamDialer
  /** Versions of the host contract to speak, best first. */
  readonly contracts: readonly HostContract[]
}

/** Programs and logs that people look into. They are not state: they end with the connection or the agent. */
export class Streams {
  readonly #needs: StreamsNeeds
  readonly #open = new Set<HostStream>()

  constructor(needs: StreamsNeeds) {
    this.#needs = needs
  }

  get count(): number {
    return this.#open.size
  }

  /** Dials the server that asked and serves what it wants. Returns at once; failures are logged. */
  open(request: { server: string; token: string }): void {
    const { clock, log } = this.#needs
    if (this.#open.size >= 2 * STREAMS_MAX) return log.warn('too many streams; one is not answered')
    const stream = new HostStream({ clock, log, source: this.#source() })
    if (this.#open.size >= STREAMS_MAX)
      stream.refuse(new PlatformError('TOO_MANY_REQUESTS', { limit: STREAMS_MAX }))
    this.#open.add(stream)
    void this.#serve(stream, request).finally(() => this.#open.delete(stream))
  }

  /** Ends all. */
  close(): void {
    for (const stream of this.#open) stream.onClose()
  }

  async #serve(stream: HostStream, request: { server: string; token: string }): Promise<void> {
    const abort = new AbortController()
    const timer = this.#needs.clock.after(DIAL_TIMEOUT_MS, () =>
      abort.abort(new PlatformError('DEADLINE_EXCEEDED', { what: 'dial a stream' })),
    )
    try {
      const socket = await this.#needs.dialer.dial(
        { ...request, contracts: this.#needs.contracts },
        stream,
        abort.signal,
      )
      timer.cancel()
      await stream.run(socket)
    } catch (error) {
      this.#needs.log.warn('a stream could not be opened', {
        server: request.server,
        ...logged(error),
      })
    } finally {
      timer.cancel()
    }
  }

  #source(): StreamSource {
    return {
      exec: (request) => this.#exec(request),
      logs: (request, signal) => this.#logs(request, signal),
    }
  }

  /** The placement that the caller saw must be the one that is here. */
  #check(request: StreamRequest): void {
    const wanted = this.#needs.store.set(request.setId)
    if (wanted === undefined || wanted.epoch !== request.epoch)
      throw new PlatformError('NOT_FOUND', { set: request.setId, epoch: request.epoch })
    const { container } = request
    if (container !== null && !wanted.containers.some(({ name }) => name === container))
      throw new PlatformError('NOT_FOUND', { container })
  }

  async #exec(request: Extract<StreamRequest, { type: 'exec' }>): Promise<ExecStream> {
    this.#check(request)
    const { setId, container, command, tty, stdin, columns, rows } = request
    const exec = await this.#needs.driver.exec(setId, container, {
      command,
      tty,
      stdin,
      ...(tty ? { columns, rows } : {}),
    })
    return exec
  }

  #logs(request: Extract<StreamRequest, { type: 'logs' }>, signal: AbortSignal): LogSource {
    this.#check(request)
    const { setId, container, follow, sinceMs, tail } = request
    const nowMs = this.#needs.clock.nowMs()
    const options = {
      follow,
      signal,
      ...(sinceMs === null ? {} : { sinceMs }),
      ...(tail === null ? {} : { tail }),
    }
    const log = (name: string, prefix: string): LogSource => {
      const read: ReadLog = (asked) => this.#needs.driver.logs(setId, name, asked)
      const after = parsePosition(request.after, name)
      return pieces(tracked(read, options, { after, nowMs }), { container: name, prefix })
    }
    if (container !== null) return log(container, '')
    const names = this.#needs.store.set(setId)?.containers.map(({ name }) => name) ?? []
    const width = Math.max(...names.map((name) => name.length))
    return merged(
      names.map((name) => existing(log(name, `${name.padEnd(width)} | `))),
      follow ? 'arrival' : 'time',
    )
  }
}
