import { z } from 'zod'
import { hostInventory, hostResources } from '../../public/host.ts'
import { foundSet } from './found.ts'
import { wantedItem } from './wanted.ts'

/** Bounds of the session; more is a protocol violation and closes it. */
export const HOST_MESSAGE_BYTES_MAX = 4 * 2 ** 20
/** A snapshot or a delta is cut into messages of at most so many items; the last one says `last`. */
export const WANTED_ITEMS_PER_MESSAGE_MAX = 1_000
export const FOUND_SETS_PER_MESSAGE_MAX = 1_000
/** The agent speaks at least this often; the server gives a host up after three missed beats. */
export const HEARTBEAT_PERIOD_MS = 2_000
export const HEARTBEAT_MISSED_MAX = 3
/** From the sending of a heartbeat: so long may the host run `elsewhere` instances without another answer. */
export const LEASE_MS = 30_000

/** First message of the agent, within 5 s of the connection. Identity comes from the certificate; hostId is checked against it. */
export const hello = z.strictObject({
  type: z.literal('hello'),
  /** Contract versions that the agent can speak, best first. */
  contracts: z.array(z.int()).min(1).max(16),
  hostId: z.uuid(),
  /** Names this boot of the host: after a reboot it is another. */
  bootId: z.string().min(1).max(64),
  /** What it has on disk; null before the first snapshot. A server that can, answers with a delta from there. */
  wantedRevision: z.int().nullable(),
  inventory: hostInventory,
  capacity: hostResources,
  reserve: hostResources,
  vtepAddress: z.string().nullable(),
  underlayMtuBytes: z.int(),
})
export type Hello = z.infer<typeof hello>

export const heartbeat = z.strictObject({ type: z.literal('heartbeat'), sequence: z.int().min(0) })

/**
 * Changes of found state, batched for at most 50 ms. `full` comes first in a session: sets that are not in it do not exist
 * on the host. A full report may be cut into several messages, all `full`; it counts when the one that is `last` has come.
 */
export const foundReport = z.strictObject({
  type: z.literal('found'),
  full: z.boolean(),
  last: z.boolean(),
  /** The newest wanted revision that is on disk. */
  wantedRevision: z.int().nullable(),
  sets: z.array(foundSet).max(FOUND_SETS_PER_MESSAGE_MAX),
})
export type FoundReport = z.infer<typeof foundReport>

export const agentMessage = z.discriminatedUnion('type', [hello, heartbeat, foundReport])
export type AgentMessage = z.infer<typeof agentMessage>

/** Answer to hello. */
export const welcome = z.strictObject({
  type: z.literal('welcome'),
  contract: z.int(),
  serverName: z.string(),
  region: z.string(),
  heartbeatPeriodMs: z.int(),
  leaseMs: z.int(),
  /** Every server of the region, for when this one goes: 'address:port'. */
  servers: z.array(z.string()).max(64),
  registry: z.string(),
})
export type Welcome = z.infer<typeof welcome>

/**
 * Wanted state. `full` replaces all that the agent has, once `last` has come; otherwise upserts and removes apply to it.
 * The agent writes it to disk, with the revision, before it acts.
 */
export const wantedUpdate = z.strictObject({
  type: z.literal('wanted'),
  revision: z.int(),
  full: z.boolean(),
  last: z.boolean(),
  upserts: z.array(wantedItem).max(WANTED_ITEMS_PER_MESSAGE_MAX),
  removes: z.array(z.string().max(100)).max(WANTED_ITEMS_PER_MESSAGE_MAX),
})
export type WantedUpdate = z.infer<typeof wantedUpdate>

/** Renews the lease: the host may count `leaseMs` from the moment it sent that heartbeat. */
export const heartbeatAnswer = z.strictObject({
  type: z.literal('heartbeat-answer'),
  sequence: z.int(),
  leaseMs: z.int(),
})

/** Dial `wss://<server>/host/v1/streams/<token>` and serve what the first text message there asks for (`streamRequest`). */
export const openStream = z.strictObject({
  type: z.literal('open-stream'),
  server: z.string().max(200),
  token: z.string().max(100),
})

export const serverMessage = z.discriminatedUnion('type', [
  welcome,
  wantedUpdate,
  heartbeatAnswer,
  openStream,
])
export type ServerMessage = z.infer<typeof serverMessage>
