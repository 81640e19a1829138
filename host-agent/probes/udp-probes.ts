import { createSocket, type Socket } from 'node:dgram'
import { parseIpv4, type Clock, type Random, type Timer } from '@nubo/base'
import type { ProbeAnswer, ProbeResult, ProbeTarget } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import { decodeDatagram, encodeDatagram, NONCE_BYTES } from './datagram.ts'
import { SourceLimit } from './source-limit.ts'
import type { UnderlayProbes } from './underlay-probes.ts'

/** Each target is asked so often, at equal distances within the time of a probe: one lost datagram is no silence. */
const DATAGRAMS_PER_PROBE = 3
/** The address may come later, and goes while the switch restarts. */
const BIND_RETRY_MS = 2_000
/** Questions that are open; the contract allows far fewer. */
const OPEN_MAX = 1_024

interface Asked {
  readonly hostId: string
  readonly answered: (answer: ProbeAnswer) => void
}

/** Probes by UDP from and to the host's own address on the underlay. Datagrams that are none of ours are dropped silently. */
export class UdpProbes implements UnderlayProbes {
  readonly address: string
  readonly #bind: { readonly address: string; readonly port: number }
  readonly #hostId: string
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: Log
  readonly #limit: SourceLimit
  readonly #open = new Map<string, Asked>()
  #key: Uint8Array | undefined
  #answer: (() => ProbeAnswer) | undefined
  #socket: Socket | undefined
  #retry: Timer | undefined
  #isClosed = false
  #dropped = 0

  constructor(options: {
    readonly bind: { readonly address: string; readonly port: number }
    readonly hostId: string
    readonly clock: Clock
    readonly random: Random
    readonly log: Log
  }) {
    this.#bind = options.bind
    this.address = `${options.bind.address}:${options.bind.port}`
    this.#hostId = options.hostId
    this.#clock = options.clock
    this.#random = options.random
    this.#log = options.log
    this.#limit = new SourceLimit(options.clock)
  }

  /** Datagrams that were no good, too many, or for another host. */
  get dropped(): number {
    return this.#dropped
  }

  /** Whether it has its address now. */
  get isBound(): boolean {
    return this.#socket !== undefined
  }

  start(answer: () => ProbeAnswer): void {
    this.#answer = answer
    this.#listen()
  }

  useKey(key: string): void {
    this.#key = Buffer.from(key, 'hex')
  }

  async probe(targets: readonly ProbeTarget[], timeoutMs: number): Promise<readonly ProbeResult[]> {
    const results = await Promise.all(targets.map((target) => this.#probeOne(target, timeoutMs)))
    return results.filter((result) => result !== undefined)
  }

  close(): void {
    this.#isClosed = true
    this.#retry?.cancel()
    this.#socket?.close()
    this.#socket = undefined
  }

  #listen(): void {
    if (this.#isClosed) return
    const socket = createSocket('udp4')
    const again = (error: Error): void => {
      if (this.#socket === socket) this.#log.warn('probes lost their socket', { error })
      else this.#log.debug('the address for probes is not there yet', { reason: error.message })
      this.#socket = undefined
      socket.close()
      if (!this.#isClosed) this.#retry = this.#clock.after(BIND_RETRY_MS, () => this.#listen())
    }
    socket.once('error', again)
    socket.on('message', (bytes, from) => this.#receive(bytes, from))
    socket.bind({ address: this.#bind.address, port: this.#bind.port, exclusive: true }, () => {
      if (this.#isClosed) socket.close()
      else this.#socket = socket
    })
  }

  #receive(bytes: Uint8Array, from: { address: string; port: number }): void {
    // Before the signature is looked at, which is what costs.
    const datagram =
      this.#key !== undefined && this.#limit.admits(from.address)
        ? decodeDatagram(bytes, this.#key)
        : undefined
    if (datagram?.kind === 'answer') {
      const asked = this.#open.get(nonceText(datagram.nonce))
      if (asked?.hostId === datagram.hostId) return asked.answered(datagram.answer)
    }
    const isForUs = datagram?.kind === 'ask' && datagram.hostId === this.#hostId
    if (!isForUs || this.#answer === undefined || this.#key === undefined) {
      this.#dropped += 1
      return
    }
    const { nonce, hostId } = datagram
    this.#send(
      encodeDatagram({ kind: 'answer', nonce, hostId, answer: this.#answer() }, this.#key),
      from,
    )
  }

  #probeOne(target: ProbeTarget, timeoutMs: number): Promise<ProbeResult | undefined> {
    const [address = '', port = ''] = target.address.split(':')
    const to = { address, port: Number(port) }
    const isAddress = parseIpv4(address) !== undefined && to.port >= 1 && to.port <= 65_535
    const key = this.#key
    if (
      !isAddress ||
      key === undefined ||
      this.#socket === undefined ||
      this.#open.size >= OPEN_MAX
    )
      return Promise.resolve(undefined)
    const { hostId } = target
    const nonce = this.#random.bytes(NONCE_BYTES)
    const question = encodeDatagram({ kind: 'ask', nonce, hostId }, key)
    return new Promise((resolve) => {
      let sent = 0
      let timer: Timer
      const end = (result: ProbeResult | undefined): void => {
        timer.cancel()
        this.#open.delete(nonceText(nonce))
        resolve(result)
      }
      this.#open.set(nonceText(nonce), { hostId, answered: (answer) => end({ hostId, answer }) })
      // Where not one datagram could leave, nothing is known of the target.
      let left = 0
      const sendNext = (): void => {
        if (sent === DATAGRAMS_PER_PROBE)
          return end(left === 0 ? undefined : { hostId, answer: null })
        sent += 1
        this.#send(question, to, () => (left += 1))
        timer = this.#clock.after(timeoutMs / DATAGRAMS_PER_PROBE, sendNext)
      }
      sendNext()
    })
  }

  #send(bytes: Uint8Array, to: { address: string; port: number }, left?: () => void): void {
    this.#socket?.send(bytes, to.port, to.address, (error) => {
      if (error === null) left?.()
    })
  }
}

function nonceText(nonce: Uint8Array): string {
  return Buffer.from(nonce).toString('hex')
}
