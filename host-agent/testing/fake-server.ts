import {
  HOST_CONTRACT_LATEST,
  hostCodec,
  type AgentMessage,
  type FoundSet,
  type HostCodec,
  type HostContract,
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
  /** The newest version that these servers know. */
  contract: HostContract = HOST_CONTRACT_LATEST
  probeKey: string | null = '7'.repeat(64)
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
    contracts: readonly HostContract[],
  ): Promise<ServerChannel> {
    this.tried.push(server)
    await Promise.resolve()
    signal.throwIfAborted()
    if (this.down.has(server)) throw new Error(`${server} refuses connections`)
    const contract = contracts.find((version) => version <= this.contract)
    if (contract === undefined) throw new Error(`${server} speaks none of ${contracts.join(', ')}`)
    const agent = new AcceptedAgent(hostCodec(contract), handlers, { server, servers: this })
    this.accepted.push(agent)
    return agent.channel
  }
}

export class AcceptedAgent {
  readonly server: string
  readonly received: AgentMessage[] = []
  /** The same as they went over the line. */
  readonly texts: string[] = []
  readonly channel: ServerChannel
  closedBecause: string | undefined
  bufferedBytes = 0
  readonly #codec: HostCodec
  readonly #handlers: ChannelHandlers
  readonly #servers: FakeServers

  constructor(
    codec: HostCodec,
    handlers: ChannelHandlers,
    about: { server: string; servers: FakeServers },
  ) {
    this.server = about.server
    this.#codec = codec
    this.#handlers = handlers
    this.#servers = about.servers
    const isBuffered = (): number => this.bufferedBytes
    this.channel = {
      contract: codec.contract,
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
      for (const found of message.instances)
        if (found.kind === 'set' && found.state !== 'absent') sets.set(found.id, found)
        else sets.delete(found.id)
    }
    return sets
  }

  of<Type extends AgentMessage['type']>(type: Type): Extract<AgentMessage, { type: Type }>[] {
    return this.received.filter(
      (message): message is Extract<AgentMessage, { type: Type }> => message.type === type,
    )
  }

  send(message: ServerMessage): void {
    const text = this.#codec.encodeServerMessage(message)
    if (text !== undefined) this.sendText(text)
  }

  sendText(text: string): void {
    queueMicrotask(() => {
      if (this.closedBecause === undefined) this.#handlers.onText(text)
    })
  }

  welcome(change: { contract?: number } = {}): void {
    this.send({
      type: 'welcome',
      contract: this.#codec.contract,
      serverName: this.server,
      region: 'local',
      heartbeatPeriodMs: 2_000,
      leaseMs: this.#servers.leaseMs,
      servers: this.#servers.servers,
      registry: '172.31.0.1:5000',
      probeKey: this.#servers.probeKey,
      ...change,
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
    const parsed = this.#codec.parseAgentMessage(JSON.parse(text))
    if (!parsed.success) throw parsed.error
    const message = parsed.data
    this.texts.push(text)
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
