import {
  agentMessage,
  type AgentMessage,
  type FoundSet,
  type ServerMessage,
  type WantedUpdate,
} from '@nubo/contracts/host'
import type { ChannelHandlers, ServerChannel, ServerConnector } from '../session/channel.ts'

/** Servers of a region in memory, for tests of the agent's side. Each connection is an `AcceptedAgent`. */
export class FakeServers implements ServerConnector {
  readonly accepted: AcceptedAgent[] = []
  /** Tries in order, whether they succeeded or not. */
  readonly tried: string[] = []
  readonly down = new Set<string>()
  /** Answers hello by a welcome, and heartbeats, by itself. */
  isPolite = true
  leaseMs = 30_000
  servers = ['s1:7443', 's2:7443']
  /** Sent after the welcome. */
  onHello: (agent: AcceptedAgent) => void = () => undefined

  get last(): AcceptedAgent {
    const agent = this.accepted.at(-1)
    if (agent === undefined) throw new Error('nobody has connected')
    return agent
  }

  async connect(
    server: string,
    handlers: ChannelHandlers,
    signal: AbortSignal,
  ): Promise<ServerChannel> {
    this.tried.push(server)
    await Promise.resolve()
    signal.throwIfAborted()
    if (this.down.has(server)) throw new Error(`${server} refuses connections`)
    const agent = new AcceptedAgent(server, handlers, this)
    this.accepted.push(agent)
    return agent.channel
  }
}

export class AcceptedAgent {
  readonly server: string
  readonly received: AgentMessage[] = []
  readonly channel: ServerChannel
  closedBecause: string | undefined
  bufferedBytes = 0
  readonly #handlers: ChannelHandlers
  readonly #servers: FakeServers

  constructor(server: string, handlers: ChannelHandlers, servers: FakeServers) {
    this.server = server
    this.#handlers = handlers
    this.#servers = servers
    const isBuffered = (): number => this.bufferedBytes
    this.channel = {
      send: (text) => {
        if (this.closedBecause === undefined) this.#receive(text)
      },
      get bufferedBytes() {
        return isBuffered()
      },
      close: (reason) => this.close(reason),
    }
  }

  /** Sets as the reports of this connection tell them, absent ones left out. */
  get found(): ReadonlyMap<string, FoundSet> {
    const sets = new Map<string, FoundSet>()
    let isInParts = false
    for (const message of this.received) {
      if (message.type !== 'found') continue
      if (message.full && !isInParts) sets.clear()
      isInParts = message.full && !message.last
      for (const set of message.sets)
        if (set.state === 'absent') sets.delete(set.id)
        else sets.set(set.id, set)
    }
    return sets
  }

  of<Type extends AgentMessage['type']>(type: Type): Extract<AgentMessage, { type: Type }>[] {
    return this.received.filter(
      (message): message is Extract<AgentMessage, { type: Type }> => message.type === type,
    )
  }

  send(message: ServerMessage): void {
    this.sendText(JSON.stringify(message))
  }

  sendText(text: string): void {
    queueMicrotask(() => {
      if (this.closedBecause === undefined) this.#handlers.onText(text)
    })
  }

  welcome(): void {
    this.send({
      type: 'welcome',
      contract: 1,
      serverName: this.server,
      region: 'local',
      heartbeatPeriodMs: 2_000,
      leaseMs: this.#servers.leaseMs,
      servers: this.#servers.servers,
      registry: '172.31.0.1:5000',
    })
  }

  want(update: WantedUpdate): void {
    this.send(update)
  }

  close(reason = 'the server ends'): void {
    if (this.closedBecause !== undefined) return
    this.closedBecause = reason
    queueMicrotask(() => this.#handlers.onClose(reason))
  }

  #receive(text: string): void {
    const message = agentMessage.parse(JSON.parse(text))
    this.received.push(message)
    if (!this.#servers.isPolite) return
    if (message.type === 'hello') {
      this.welcome()
      this.#servers.onHello(this)
    }
    if (message.type === 'heartbeat')
      this.send({
        type: 'heartbeat-answer',
        sequence: message.sequence,
        leaseMs: this.#servers.leaseMs,
      })
  }
}
