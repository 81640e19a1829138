import {
  every,
  integerBelow,
  newId,
  type Clock,
  type HostId,
  type Random,
  type Timer,
} from '@nubo/base'
import type { HostContract, ProbeResult, ProbeTarget, ServerMessage } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import type { ChangeSet, World } from '../world/index.ts'
import { closeCodes } from './close-codes.ts'
import { LocalPorts } from './local-ports.ts'
import type {
  HostChannel,
  HostCommands,
  HostEvents,
  HostIdentity,
  HostMembership,
  HostPresence,
} from './needs.ts'
import { PendingProbes, PROBE_EXTRA_MS } from './probes.ts'
import { parseBetweenServers, type BetweenServers, type ProbeQuestion } from './server-messages.ts'
import { HostSession, type ServerAbout, type SessionDeps } from './session.ts'
import { StreamBroker } from './streams.ts'

const SWEEP_PERIOD_MS = 1_000
/** An agent has one session, and for a moment those that it lost and whose end is not known here yet. */
const SESSIONS_PER_HOST_MAX = 8
const STOP_TIMEOUT_MS = 5_000

export interface HostSessionsDeps {
  /** May be empty still; complete before the first `accept`. */
  readonly world: World
  readonly presence: HostPresence
  readonly membership: HostMembership
  readonly events: HostEvents
  readonly commands: HostCommands
  readonly server: ServerAbout & {
    /** Where hosts dial this very server, 'address:port'. */
    readonly hostContractAddress: string
  }
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** So many questions of this server to hosts of others are open at once; more are not asked. */
const PROBES_ELSEWHERE_MAX = 64

/** All agent connections of one server process. */
export interface HostSessions {
  readonly streams: StreamBroker
  /** Begins to follow the world; call it before the first `accept`. */
  start(): Promise<void>
  /** Takes over a new connection whose certificate was admitted. `contract`: the version that is spoken on it. */
  accept(channel: HostChannel, identity: HostIdentity, contract: HostContract): void
  /**
   * Lets a host look for others on the underlay, whichever server has its session. At most PROBE_TARGETS_MAX targets.
   * Targets that are not in the results were not looked for. Undefined: the host did not answer in time, cannot be asked,
   * or speaks contract 1; that says nothing about the targets. Ends within `timeoutMs` and some seconds; never rejects.
   */
  probe(
    hostId: HostId,
    targets: readonly ProbeTarget[],
    timeoutMs: number,
  ): Promise<readonly ProbeResult[] | undefined>
  /** How many hosts are connected to this process. */
  readonly connected: number
  /** Ends all sessions and streams; waits a little for reports that are being recorded. */
  stop(): Promise<void>
}

export function createHostSessions(deps: HostSessionsDeps): HostSessions {
  return new Sessions(deps)
}

class Sessions implements HostSessions {
  readonly streams: StreamBroker
  readonly #deps: HostSessionsDeps
  readonly #sessionDeps: SessionDeps
  readonly #localPorts: LocalPorts
  readonly #all = new Set<HostSession>()
  readonly #countOfHost = new Map<string, number>()
  readonly #live = new Map<HostId, HostSession>()
  /** Sessions that ended while a report was being recorded. */
  readonly #ending = new Map<HostId, Promise<void>>()
  readonly #unsubscribe: () => void
  /** Questions to hosts whose sessions other servers have. */
  readonly #probesElsewhere: PendingProbes
  #stopped = false
  #sweep: Timer | undefined

  constructor(deps: HostSessionsDeps) {
    this.#deps = deps
    this.#localPorts = new LocalPorts(deps.world)
    this.#probesElsewhere = new PendingProbes(deps.clock, integerBelow(deps.random, 2 ** 40))
    this.#sessionDeps = {
      ...deps,
      locality: this.#localPorts,
      previousIdle: async (hostId) => this.#ending.get(hostId),
      onLive: (session) => this.#live.set(session.hostId, session),
      onEnd: (session) => this.#forget(session),
    }
    this.streams = new StreamBroker({
      world: deps.world,
      clock: deps.clock,
      random: deps.random,
      log: deps.log,
      askHost: (hostId, token) => this.#askHost(hostId, token),
    })
    // From the very moment at which LocalPorts read the world.
    this.#unsubscribe = deps.world.subscribe((changes) => this.#onChanges(changes))
  }

  get connected(): number {
    return this.#live.size
  }

  async start(): Promise<void> {
    await this.#deps.commands.listen((payload) => this.#onCommand(payload))
    this.#sweep = every(this.#deps.clock, SWEEP_PERIOD_MS, () => {
      for (const session of this.#all) {
        session.checkSilence()
        session.checkExpiry()
      }
    })
    this.streams.start()
  }

  accept(channel: HostChannel, identity: HostIdentity, contract: HostContract): void {
    const { clock, random, log } = this.#deps
    const { hostId } = identity
    if (this.#stopped) return channel.close(closeCodes.goingAway, 'this server stops')
    const count = this.#countOfHost.get(hostId) ?? 0
    if (count >= SESSIONS_PER_HOST_MAX) {
      log.warn('a host opens too many sessions', { hostId, limit: SESSIONS_PER_HOST_MAX })
      return channel.close(closeCodes.violation, 'PROTOCOL_VIOLATION: too many sessions')
    }
    this.#countOfHost.set(hostId, count + 1)
    const id: string = newId<'session'>(clock, random)
    this.#all.add(new HostSession(this.#sessionDeps, { id, channel, identity, contract }))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#unsubscribe()
    this.#sweep?.cancel()
    this.streams.stop()
    this.#probesElsewhere.endAll()
    for (const session of this.#all) session.end(closeCodes.goingAway, 'this server stops')
    await this.#withDeadline(Promise.all(this.#ending.values()))
  }

  #withDeadline(work: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#deps.clock.after(STOP_TIMEOUT_MS, resolve)
      void work.finally(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  #forget(session: HostSession): void {
    const { hostId } = session
    this.#all.delete(session)
    const count = (this.#countOfHost.get(hostId) ?? 0) - 1
    if (count > 0) this.#countOfHost.set(hostId, count)
    else this.#countOfHost.delete(hostId)
    if (this.#live.get(hostId) === session) this.#live.delete(hostId)
    const ending = Promise.all([this.#ending.get(hostId), session.idle()]).then(() => {
      if (this.#ending.get(hostId) === ending) this.#ending.delete(hostId)
    })
    this.#ending.set(hostId, ending)
  }

  #onChanges(changes: ChangeSet): void {
    try {
      const affected = this.#localPorts.apply(changes, (hostId) => this.#live.has(hostId))
      for (const [hostId, keys] of affected) this.#live.get(hostId)?.touch(keys)
      for (const { kind, id } of changes.changes)
        // proof: rows of the kind host have host ids
        if (kind === 'host') this.#live.get(id as HostId)?.checkStanding()
    } catch (error) {
      // Sessions may now lack a change; a new session begins with a snapshot.
      this.#deps.log.error('a change could not be passed on to the hosts', { error })
      for (const session of this.#all) session.end(closeCodes.internal, 'a defect of the server')
    }
  }

  /** The process that has the host's session passes it on; usually this one. */
  async #askHost(hostId: HostId, token: string): Promise<void> {
    const server = this.#deps.server.hostContractAddress
    if (this.#sendTo(hostId, { type: 'open-stream', server, token })) return
    await this.#deps.commands.broadcast(JSON.stringify({ hostId, server, token }))
  }

  async probe(
    hostId: HostId,
    targets: readonly ProbeTarget[],
    timeoutMs: number,
  ): Promise<readonly ProbeResult[] | undefined> {
    const session = this.#live.get(hostId)
    if (session !== undefined) return session.probe(targets, timeoutMs)
    if (this.#stopped || this.#probesElsewhere.size >= PROBES_ELSEWHERE_MAX) return undefined
    const { commands, log, server } = this.#deps
    const question = { type: 'probe', from: server.name, hostId, timeoutMs, targets } as const
    return this.#probesElsewhere.ask({
      targets,
      // The other server waits as long for its host, and its answer has a way to go.
      timeoutMs: timeoutMs + 2 * PROBE_EXTRA_MS,
      send: (id) => {
        commands.broadcast(JSON.stringify({ ...question, id })).catch((error: unknown) => {
          log.warn('another server could not be asked for a probe', { error })
          this.#probesElsewhere.fail(id)
        })
        return true
      },
    })
  }

  #onCommand(payload: string): void {
    const command = parseBetweenServers(payload)
    if (command === undefined) return
    if (!('type' in command)) {
      const { hostId, server, token } = command
      // proof: checked to be a UUID; an unknown one finds no session
      this.#sendTo(hostId as HostId, { type: 'open-stream', server, token })
    } else if (command.type === 'probe') void this.#probeFor(command)
    else if (command.to !== this.#deps.server.name) return
    else if (command.results === null) this.#probesElsewhere.fail(command.id)
    else this.#probesElsewhere.answered(command.id, command.results)
  }

  /** Another server asks; only the one that has the session answers. */
  async #probeFor(question: ProbeQuestion): Promise<void> {
    const { id, from, hostId, targets, timeoutMs } = question
    // proof: checked to be a UUID; an unknown one finds no session
    const session = this.#live.get(hostId as HostId)
    if (session === undefined || from === this.#deps.server.name) return
    const results = (await session.probe(targets, timeoutMs)) ?? null
    const answer: BetweenServers = {
      type: 'probed',
      id,
      to: from,
      results: results === null ? null : [...results],
    }
    await this.#deps.commands
      .broadcast(JSON.stringify(answer))
      .catch((error: unknown) =>
        this.#deps.log.warn('the answer to a probe could not be passed on', { error }),
      )
  }

  #sendTo(hostId: HostId, message: ServerMessage): boolean {
    return this.#live.get(hostId)?.send(message) === true
  }
}
