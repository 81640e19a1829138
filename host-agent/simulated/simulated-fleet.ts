import { explain, sleep, type Clock, type Random } from '@nubo/base'
import { newHostKey } from '../join/certificate-request.ts'
import type { Identity } from '../join/identity.ts'
import { redeemToken } from '../join/join.ts'
import type { ServerConnector } from '../session/channel.ts'
import { webSocketConnector, webSocketStreamDialer } from '../session/web-socket.ts'
import type { FleetConfig } from './fleet-config.ts'
import { createSimulatedHost, type SimulatedHost } from './simulated-host.ts'

/** Each join is two TLS handshakes and a commit; more at once only wait for each other. */
const JOINS_AT_ONCE = 8

/** What the process of simulated hosts says of itself. */
export interface FleetStatus {
  readonly asked: number
  readonly joined: number
  readonly connected: number
  readonly setsRunning: number
  /** Heartbeats sent since the start. */
  readonly heartbeats: number
  /** Sessions that were begun since the start. */
  readonly sessions: number
  /** Why a host could not join, the first that could not. */
  readonly failure: string | null
}

/**
 * Many simulated hosts in one process, over real WebSockets with mutual TLS. They share one key, because making
 * thousands proves nothing; certificates and sessions are each host's own.
 */
export class SimulatedFleet {
  readonly #config: FleetConfig
  readonly #clock: Clock
  readonly #random: Random
  readonly #key = newHostKey()
  readonly #hosts: SimulatedHost[] = []
  readonly #stop = new AbortController()
  #heartbeats = 0
  #sessions = 0
  #failure: string | null = null

  constructor(options: { config: FleetConfig; clock: Clock; random: Random }) {
    this.#config = options.config
    this.#clock = options.clock
    this.#random = options.random
  }

  get status(): FleetStatus {
    let connected = 0
    let setsRunning = 0
    for (const host of this.#hosts) {
      if (host.agent?.connectedTo !== null) connected++
      for (const set of host.setHost.sets.values()) if (set.pause === 'running') setsRunning++
    }
    return {
      asked: this.#config.hosts.length,
      joined: this.#hosts.length,
      connected,
      setsRunning,
      heartbeats: this.#heartbeats,
      sessions: this.#sessions,
      failure: this.#failure,
    }
  }

  /** Joins all hosts, each of which begins to serve at once. Resolves when all have joined or could not. */
  async join(): Promise<void> {
    const waiting = this.#config.hosts.values()
    const joinSome = async (): Promise<void> => {
      for (const asked of waiting) {
        if (this.#stop.signal.aborted) return
        await this.#joinOne(asked).catch((error: unknown) => {
          this.#failure ??= explain(error)
        })
      }
    }
    await Promise.all(Array.from({ length: JOINS_AT_ONCE }, joinSome))
  }

  /** Ends all sessions; what the servers know of the hosts stays. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the simulated hosts stop'))
    await Promise.all(this.#hosts.map((host) => host.close()))
  }

  async #joinOne(asked: FleetConfig['hosts'][number]): Promise<void> {
    const clock = this.#clock
    const identity = await redeemToken({
      token: asked.token,
      key: () => this.#key,
      clock,
      signal: this.#stop.signal,
    })
    if (this.#stop.signal.aborted) return
    const { setStartMs, capacity } = this.#config
    const host = createSimulatedHost({
      hostId: identity.hostId,
      clock,
      random: this.#random,
      connector: this.#connector(identity),
      servers: identity.servers,
      vtepAddress: asked.vtepAddress,
      streamDialer: webSocketStreamDialer(() => identity),
      sets: {
        before: (call) =>
          setStartMs > 0 && (call === 'startSandbox' || call === 'startContainer')
            ? sleep(clock, setStartMs)
            : undefined,
      },
      ...(capacity === undefined ? {} : { capacity }),
    })
    this.#hosts.push(host)
    host.start()
  }

  #connector(identity: Identity): ServerConnector {
    const connector = webSocketConnector(() => identity)
    return {
      connect: async (server, handlers, signal, contracts) => {
        const channel = await connector.connect(server, handlers, signal, contracts)
        this.#sessions++
        return {
          contract: channel.contract,
          send: (text) => {
            // Agents write the type first, and nothing else that they say begins like this.
            if (text.startsWith('{"type":"heartbeat"')) this.#heartbeats++
            channel.send(text)
          },
          get bufferedBytes() {
            return channel.bufferedBytes
          },
          close: (reason) => channel.close(reason),
        }
      },
    }
  }
}
