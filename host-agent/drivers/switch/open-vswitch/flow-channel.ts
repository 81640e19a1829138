import { withJitter, type Clock, type Random, type Timer } from '@nubo/base'
import type { Flow, FlowChange, ForeignFlow } from '@nubo/wire-openflow'

import { SwitchError, UNREADABLE_ACTIONS } from '../switch-driver.ts'
import { fromOpenFlow } from './failures.ts'

const COOKIE_ALL = 0xffff_ffff_ffff_ffffn
const BACKOFF_FIRST_MS = 20
// A restarted switch is without flows until we are back, so waiting long saves nothing.
const BACKOFF_LAST_MS = 1_000

/** What the channel needs of one connection. Rejects with `OpenFlowError` only. */
export interface FlowClient {
  applyBundle(changes: readonly FlowChange[]): Promise<void>
  /** `foreign` are flows with something in them that wire/openflow does not speak. */
  dumpFlows(filter?: { readonly table: number }): Promise<{
    readonly flows: readonly Flow[]
    readonly foreign: readonly ForeignFlow[]
  }>
  /** Resolves with the reason when the connection has ended; never rejects. */
  readonly closed: Promise<unknown>
  close(): void
}

export interface FlowChannelOptions {
  readonly connect: () => Promise<FlowClient>
  readonly clock: Clock
  readonly random: Random
  /** `isEmpty`: the switch has no flows; after an earlier connection that means that it was restarted. */
  readonly onConnected: (state: { readonly isFirst: boolean; readonly isEmpty: boolean }) => void
  /** Once per lost connection. */
  readonly onLost: (error: SwitchError) => void
}

type State =
  | { readonly at: 'idle' }
  | { readonly at: 'connecting' }
  | { readonly at: 'connected'; readonly client: FlowClient }
  | { readonly at: 'waiting'; readonly timer: Timer }
  | { readonly at: 'stopped' }

/** The OpenFlow connection to the bridge's management socket, which comes back by itself. */
export class FlowChannel {
  readonly #options: FlowChannelOptions
  #state: State = { at: 'idle' }
  #failures = 0
  #hasConnected = false
  #lastError: SwitchError | undefined

  constructor(options: FlowChannelOptions) {
    this.#options = options
  }

  get isStarted(): boolean {
    return this.#state.at !== 'idle'
  }

  get isConnected(): boolean {
    return this.#state.at === 'connected'
  }

  get lastError(): SwitchError | undefined {
    return this.#lastError
  }

  /** Begins to connect. Does nothing after the first time. */
  start(): void {
    if (this.#state.at === 'idle') this.#connect()
  }

  async apply(changes: readonly FlowChange[]): Promise<void> {
    try {
      await this.#client().applyBundle(changes)
    } catch (error) {
      throw fromOpenFlow(error, 'bundle of flows')
    }
  }

  /** Whether the switch has no flows at all. */
  async isEmpty(): Promise<boolean> {
    try {
      return await hasNoFlows(this.#client())
    } catch (error) {
      throw fromOpenFlow(error, 'dump of flows')
    }
  }

  async dump(): Promise<Flow[]> {
    try {
      return await readFlows(this.#client())
    } catch (error) {
      throw fromOpenFlow(error, 'dump of flows')
    }
  }

  /** Ends the connection for good. Idempotent. */
  stop(): void {
    const state = this.#state
    this.#state = { at: 'stopped' }
    if (state.at === 'waiting') state.timer.cancel()
    if (state.at === 'connected') state.client.close()
  }

  #client(): FlowClient {
    if (this.#state.at === 'connected') return this.#state.client
    if (this.#state.at === 'stopped') throw new SwitchError('closed', 'the driver is closed')
    if (this.#state.at === 'idle') {
      throw new SwitchError('host_not_ready', 'the bridge is not prepared')
    }
    throw new SwitchError('unreachable', 'no connection to the switch', { cause: this.#lastError })
  }

  #connect(): void {
    this.#state = { at: 'connecting' }
    this.#attempt().catch((error: unknown) => this.#failed(error))
  }

  async #attempt(): Promise<void> {
    const client = await this.#options.connect()
    if (this.#state.at !== 'connecting') return client.close()
    let isEmpty
    try {
      isEmpty = await hasNoFlows(client)
    } catch (error) {
      client.close()
      throw error
    }
    if (this.#state.at !== 'connecting') return client.close()
    const isFirst = !this.#hasConnected
    this.#hasConnected = true
    this.#failures = 0
    this.#state = { at: 'connected', client }
    void client.closed.then((error: unknown) => this.#lost(client, error))
    this.#options.onConnected({ isFirst, isEmpty })
  }

  #failed(error: unknown): void {
    if (this.#state.at === 'stopped') return
    this.#lastError = fromOpenFlow(error, 'connecting to the switch')
    const ceilingMs = Math.min(
      BACKOFF_LAST_MS,
      BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures, 20),
    )
    this.#failures += 1
    const delayMs = withJitter(this.#options.random, ceilingMs)
    const timer = this.#options.clock.after(delayMs, () => this.#connect())
    this.#state = { at: 'waiting', timer }
  }

  #lost(client: FlowClient, cause: unknown): void {
    if (this.#state.at !== 'connected' || this.#state.client !== client) return
    this.#failed(new SwitchError('unreachable', 'the connection to the switch is lost', { cause }))
    if (this.#lastError !== undefined) this.#options.onLost(this.#lastError)
  }
}

/** Asks for the first table only, if that is enough: everything else may be a hundred thousand flows. */
async function hasNoFlows(client: FlowClient): Promise<boolean> {
  return (await isEmpty(client, { table: 0 })) && (await isEmpty(client))
}

async function isEmpty(client: FlowClient, filter?: { table: number }): Promise<boolean> {
  const { flows, foreign } = await client.dumpFlows(filter)
  return flows.length === 0 && foreign.length === 0
}

/** `SwitchDriver.dumpFlows`. Flows that nobody of ours can have sent come from people, or from a later version. */
async function readFlows(client: FlowClient): Promise<Flow[]> {
  let dump = await client.dumpFlows()
  const hidden = dump.foreign.filter(({ match }) => match === undefined)
  if (hidden.length > 0) {
    // Without its match a flow can only be named by its cookie. One of ours may go with it: the second dump tells.
    const cookies = new Set(hidden.map(({ cookie }) => cookie))
    await client.applyBundle(
      Array.from(cookies, (cookie) => ({ type: 'deleteByCookie', cookie, cookieMask: COOKIE_ALL })),
    )
    dump = await client.dumpFlows()
  }
  const foreign = dump.foreign.flatMap(({ table, priority, cookie, match }) =>
    match === undefined ? [] : [{ table, priority, cookie, match, actions: UNREADABLE_ACTIONS }],
  )
  return [...dump.flows, ...foreign]
}
