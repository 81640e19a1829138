import type { Random, VirtualClock } from '@nubo/base'
import type { HostContract } from '@nubo/contracts/host'
import type { HostChannel } from '@nubo/control-plane'
import type { ChannelHandlers, ServerChannel } from '@nubo/host-agent'
import type { SimulatedProcess } from './process.ts'
import type { Trace } from './trace.ts'

/** A message takes this long at most; each takes another time, but no message overtakes another of its connection. */
const MESSAGE_DELAY_MAX_MS = 8

/** One end of a connection: a process on a machine. Machines are cut from each other, processes die. */
export interface End {
  readonly machine: string
  readonly process: SimulatedProcess
}

/**
 * The network between machines. A connection keeps its order and loses nothing while it lasts, as TCP does; a cut in
 * one direction holds back what goes that way, until it is healed or an end gives up. Messages of different connections overtake each
 * other freely.
 */
export class SimulatedNetwork {
  readonly #base: VirtualClock
  readonly #trace: Trace
  readonly #blocked = new Map<string, number>()
  readonly #links = new Set<Link>()
  readonly #leaseGrantedAtMs = new Map<string, number>()

  constructor(base: VirtualClock, trace: Trace) {
    this.#base = base
    this.#trace = trace
  }

  isBlocked(from: string, to: string): boolean {
    return (this.#blocked.get(`${from}>${to}`) ?? 0) > 0
  }

  /** Whether a datagram and its answer get through. */
  isOpen(a: string, b: string): boolean {
    return !this.isBlocked(a, b) && !this.isBlocked(b, a)
  }

  /** Holds back what goes from one machine to the other. Cuts add up. */
  block(from: string, to: string, forMs: number): void {
    const key = `${from}>${to}`
    this.#blocked.set(key, (this.#blocked.get(key) ?? 0) + 1)
    this.#base.after(forMs, () => {
      const left = (this.#blocked.get(key) ?? 0) - 1
      if (left > 0) this.#blocked.set(key, left)
      else this.#blocked.delete(key)
      if (left === 0) this.#flush()
    })
  }

  /** When the host was last told that it holds a lease. */
  leaseGrantedAtMs(machine: string): number {
    return this.#leaseGrantedAtMs.get(machine) ?? 0
  }

  heardByHost(machine: string, text: string): void {
    if (text.startsWith('{"type":"heartbeat-answer"') || text.startsWith('{"type":"welcome"'))
      this.#leaseGrantedAtMs.set(machine, this.#base.monotonicMs())
  }

  healAll(): void {
    this.#blocked.clear()
    this.#flush()
  }

  #flush(): void {
    for (const link of this.#links) link.flush()
  }

  /** Connections of a machine break, and both ends hear of it. */
  reset(machine: string): void {
    for (const link of this.#links) if (link.touches(machine)) link.reset()
  }

  /** A machine without power says nothing any more, not even that its connections have ended. */
  silence(machine: string): void {
    for (const link of this.#links) if (link.touches(machine)) link.silence(machine)
  }

  /** As an operating system does for a process that died: its peers hear that the connection ended. */
  closeAll(process: SimulatedProcess): void {
    for (const link of this.#links) link.closeFor(process)
  }

  /** A connection between a host and a server, already established. */
  link(
    ends: { host: End; server: End; random: Random; contract: HostContract },
    handlers: ChannelHandlers,
  ): { forHost: ServerChannel; forServer: HostChannel } {
    const link = new Link({
      base: this.#base,
      network: this,
      trace: this.#trace,
      host: ends.host,
      server: ends.server,
      random: ends.random,
      contract: ends.contract,
      onGone: () => this.#links.delete(link),
    })
    this.#links.add(link)
    return {
      forHost: link.hostEnd(handlers),
      forServer: link.serverEnd(),
    }
  }
}

type Side = 'host' | 'server'

interface Pipe {
  readonly queue: { work: () => void; bytes: number; isDue: boolean }[]
  lastAtMs: number
}

interface LinkDeps {
  readonly base: VirtualClock
  readonly network: SimulatedNetwork
  readonly trace: Trace
  readonly host: End
  readonly server: End
  readonly random: Random
  readonly contract: HostContract
  readonly onGone: () => void
}

class Link {
  readonly #deps: LinkDeps
  readonly #pipes: Record<Side, Pipe> = {
    host: { queue: [], lastAtMs: 0 },
    server: { queue: [], lastAtMs: 0 },
  }
  /** Ends that have closed, or heard that the other has. */
  readonly #isOver: Record<Side, boolean> = { host: false, server: false }
  readonly #isSilent: Record<Side, boolean> = { host: false, server: false }
  #onServerText = (_text: string): void => undefined
  #onServerClose = (): void => undefined
  #onHostText = (_text: string): void => undefined
  #onHostClose = (_reason: string): void => undefined

  constructor(deps: LinkDeps) {
    this.#deps = deps
  }

  touches(machine: string): boolean {
    return this.#deps.host.machine === machine || this.#deps.server.machine === machine
  }

  hostEnd(handlers: ChannelHandlers): ServerChannel {
    this.#onHostText = (text) => handlers.onText(text)
    this.#onHostClose = (reason) => handlers.onClose(reason)
    const buffered = (side: Side): number => this.#buffered(side)
    return {
      contract: this.#deps.contract,
      send: (text) => this.#send('host', text),
      get bufferedBytes() {
        return buffered('host')
      },
      close: (reason) => this.#close('host', reason),
    }
  }

  serverEnd(): HostChannel {
    const buffered = (side: Side): number => this.#buffered(side)
    return {
      send: (text) => this.#send('server', text),
      get bufferedBytes() {
        return buffered('server')
      },
      close: (_code, reason) => this.#close('server', reason),
      onMessage: (listener) => void (this.#onServerText = listener),
      onClose: (listener) => void (this.#onServerClose = listener),
    }
  }

  reset(): void {
    for (const side of ['host', 'server'] as const) {
      this.#pipes[side].queue.length = 0
      this.#deps.base.after(1, () => this.#hearEnd(side, 'the connection broke'))
    }
  }

  silence(machine: string): void {
    const side: Side = this.#deps.host.machine === machine ? 'host' : 'server'
    this.#isSilent[side] = true
    this.#isOver[side] = true
  }

  closeFor(process: SimulatedProcess): void {
    for (const side of ['host', 'server'] as const)
      if (this.#deps[side].process === process) this.#close(side, 'the connection broke')
  }

  /** What a cut held back goes on, in order. */
  flush(): void {
    for (const side of ['host', 'server'] as const) this.#drain(side)
  }

  #buffered(side: Side): number {
    return this.#pipes[side].queue.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  #send(side: Side, text: string): void {
    const { process } = this.#deps[side]
    if (this.#isOver[side] || !process.point('a message')) return
    const other: Side = side === 'host' ? 'server' : 'host'
    this.#put(side, text.length, () => {
      if (this.#isOver[other] || this.#isSilent[other]) return
      this.#deps[other].process.enter(() => {
        if (this.#isOver[other] || !this.#deps[other].process.point('the arrival of a message'))
          return
        if (other === 'host') this.#deps.network.heardByHost(this.#deps.host.machine, text)
        this.#deps.trace.add(this.#deps[other].process.name, `hears ${text.slice(0, 120)}`)
        if (other === 'server') this.#onServerText(text)
        else this.#onHostText(text)
      })
    })
  }

  #close(side: Side, reason: string): void {
    if (this.#isOver[side]) return
    this.#isOver[side] = true
    const other: Side = side === 'host' ? 'server' : 'host'
    this.#put(side, 0, () => this.#hearEnd(other, reason))
    this.#deps.base.after(1, () => this.#hearOwnEnd(side, reason))
    if (this.#isOver[other]) this.#deps.onGone()
  }

  #hearEnd(side: Side, reason: string): void {
    if (this.#isOver[side]) return
    this.#isOver[side] = true
    this.#hearOwnEnd(side, reason)
    this.#deps.onGone()
  }

  #hearOwnEnd(side: Side, reason: string): void {
    if (this.#isSilent[side]) return
    this.#deps[side].process.enter(() =>
      side === 'host' ? this.#onHostClose(reason) : this.#onServerClose(),
    )
  }

  #put(side: Side, bytes: number, work: () => void): void {
    const { base, random } = this.#deps
    const pipe = this.#pipes[side]
    const nowMs = base.monotonicMs()
    const atMs = Math.max(pipe.lastAtMs, nowMs + random.fraction() * MESSAGE_DELAY_MAX_MS)
    pipe.lastAtMs = atMs
    const message = { work, bytes, isDue: false }
    pipe.queue.push(message)
    base.after(atMs - nowMs, () => {
      message.isDue = true
      this.#drain(side)
    })
  }

  #drain(side: Side): void {
    const { network, host, server } = this.#deps
    const [from, to] = side === 'host' ? [host, server] : [server, host]
    if (network.isBlocked(from.machine, to.machine)) return
    const { queue } = this.#pipes[side]
    while (queue[0]?.isDue === true) queue.shift()?.work()
  }
}
