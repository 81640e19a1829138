import type { Duplex } from 'node:stream'
import type { Clock, Timer } from '@nubo/base'

/** Connections that have not become a session or a stream; more wait, while those that serve go on. */
export const IDLE_CONNECTIONS_MAX = 64
/** So many handshakes begin before everybody else has their turn again. */
export const BEGUN_PER_TURN_MAX = 4
/** More are refused. */
export const WAITING_MAX = 2_048
/**
 * An agent waits for eight seconds, one of the release before for five; who is let in after this time has the rest for the
 * handshake, and one that has given up would cost it in vain.
 */
export const WAIT_MAX_MS = 4_000

interface Waiting {
  readonly socket: Duplex
  readonly sinceMs: number
}

/**
 * All connections, from before their first byte is read. When thousands of hosts come at once, a try that is refused costs
 * both sides almost as much as one that succeeds, and handshakes that are all under way together end together, and late. So
 * few shake hands, the next ones wait in turn at no cost, and only who would wait in vain is refused.
 */
export class Admission {
  readonly #clock: Clock
  readonly #admit: (socket: Duplex) => void
  readonly #open = new Set<Duplex>()
  /** The one that came first is first. They are not read from, so one whose peer has gone waits with the others. */
  readonly #waiting: Waiting[] = []
  #expiry: Timer | undefined
  #serving = 0
  /** In this turn of the event loop. */
  #begun = 0
  #isNextDue = false

  /** `admit` gets each socket as it came, which means paused. */
  constructor(clock: Clock, admit: (socket: Duplex) => void) {
    this.#clock = clock
    this.#admit = admit
  }

  /** Lets a paused socket in, now or later, or ends it. */
  add(socket: Duplex): void {
    socket.on('error', () => socket.destroy())
    if (this.#waiting.length === 0 && this.#hasRoom()) return this.#letIn(socket)
    if (this.#waiting.length >= WAITING_MAX) {
      socket.destroy()
      return
    }
    this.#waiting.push({ socket, sinceMs: this.#clock.monotonicMs() })
    this.#expireLater()
  }

  /** It has become a session or a stream, and leaves room for idle ones. */
  countServing(socket: Duplex): void {
    this.#serving++
    socket.once('close', () => this.#serving--)
    this.#nextSoon()
  }

  /** Nobody who waits is let in any more. */
  destroyAll(): void {
    this.#expiry?.cancel()
    for (const { socket } of this.#waiting.splice(0)) socket.destroy()
    for (const socket of this.#open) socket.destroy()
  }

  #hasRoom(): boolean {
    const idle = this.#open.size - this.#serving
    return idle < IDLE_CONNECTIONS_MAX && this.#begun < BEGUN_PER_TURN_MAX
  }

  #letIn(socket: Duplex): void {
    this.#open.add(socket)
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#nextSoon()
    })
    this.#begun++
    this.#nextSoon()
    this.#admit(socket)
  }

  /** In the next turn: the end of a connection is told twice, by it and by its TLS, and both count. */
  #nextSoon(): void {
    if (this.#isNextDue) return
    this.#isNextDue = true
    setImmediate(() => {
      this.#isNextDue = false
      this.#begun = 0
      this.#next()
    })
  }

  #next(): void {
    while (this.#hasRoom()) {
      const first = this.#waiting.shift()
      if (first === undefined) return
      if (!first.socket.destroyed) this.#letIn(first.socket)
    }
  }

  #expireLater(): void {
    const [first] = this.#waiting
    if (this.#expiry !== undefined || first === undefined) return
    const leftMs = Math.max(0, first.sinceMs + WAIT_MAX_MS - this.#clock.monotonicMs())
    this.#expiry = this.#clock.after(leftMs, () => {
      this.#expiry = undefined
      const oldestMs = this.#clock.monotonicMs() - WAIT_MAX_MS
      while ((this.#waiting[0]?.sinceMs ?? Infinity) <= oldestMs)
        this.#waiting.shift()?.socket.destroy()
      this.#expireLater()
    })
  }
}
