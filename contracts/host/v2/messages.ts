import { z } from 'zod'
import {
  foundReport,
  heartbeat,
  heartbeatAnswer,
  hello as helloBefore,
  openStream,
  wantedUpdate,
  welcome as welcomeBefore,
} from '../v1/messages.ts'

/**
 * Version 2: hosts look for each other on the underlay, as a second sign of life beside their sessions, and say for sure
 * how soon they stop what they may no longer run; logs can be continued (calls.ts). Everything else is as in version 1.
 */

/**
 * So many hosts one host is asked to look for at a time; what goes beyond is asked of others, or later. A question and
 * its answer also fit into a notification between servers (8,000 bytes) with this many.
 */
export const PROBE_TARGETS_MAX = 16
export const PROBE_TIMEOUT_MIN_MS = 100
export const PROBE_TIMEOUT_MAX_MS = 10_000

export const hello = helloBefore.extend({
  /**
   * Within this time after its lease ended no `elsewhere` set runs on this host, even if the agent has died or hangs:
   * something that does not depend on it sees to that. Null: nothing guarantees it, so the end of a lease proves nothing.
   */
  stopsWithinMs: z.int().min(0).max(600_000).nullable(),
  /** Where it answers probes: 'address:port' of UDP on the underlay. Null: it does not. */
  probeAddress: z.string().max(64).nullable(),
})
export type Hello = z.infer<typeof hello>

/** What a neighbour said of itself. */
export const probeAnswer = z.strictObject({
  bootId: z.string().min(1).max(64),
  /** Whether its lease lasts. */
  lease: z.enum(['lasts', 'ended']),
  /** How many `elsewhere` sets have something running there. */
  elsewhereRunning: z.int().min(0),
})
export type ProbeAnswer = z.infer<typeof probeAnswer>

export const probeResult = z.strictObject({
  hostId: z.uuid(),
  /** Null: silence, although it was asked several times. */
  answer: probeAnswer.nullable(),
})
export type ProbeResult = z.infer<typeof probeResult>

/**
 * Answer to `probe`, once every target has answered or the time is over. A target that is not in it was not looked for,
 * as by a host that cannot send probes: that says nothing about the target.
 */
export const probeReport = z.strictObject({
  type: z.literal('probe-report'),
  id: z.int().min(0),
  results: z.array(probeResult).max(PROBE_TARGETS_MAX),
})
export type ProbeReport = z.infer<typeof probeReport>

export const agentMessage = z.discriminatedUnion('type', [
  hello,
  heartbeat,
  foundReport,
  probeReport,
])
export type AgentMessage = z.infer<typeof agentMessage>

export const welcome = welcomeBefore.extend({
  /** With it both ends of a probe prove that they are hosts of this region: 32 bytes as hex, kept like a private key. Null: no probes. */
  probeKey: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
})
export type Welcome = z.infer<typeof welcome>

/** `address`: the `probeAddress` of the target's hello. */
export const probeTarget = z.strictObject({ hostId: z.uuid(), address: z.string().max(64) })
export type ProbeTarget = z.infer<typeof probeTarget>

/** Look for these hosts on the underlay, several times within `timeoutMs`, and say who answered. */
export const probe = z.strictObject({
  type: z.literal('probe'),
  id: z.int().min(0),
  timeoutMs: z.int().min(PROBE_TIMEOUT_MIN_MS).max(PROBE_TIMEOUT_MAX_MS),
  targets: z.array(probeTarget).min(1).max(PROBE_TARGETS_MAX),
})
export type Probe = z.infer<typeof probe>

export const serverMessage = z.discriminatedUnion('type', [
  welcome,
  wantedUpdate,
  heartbeatAnswer,
  openStream,
  probe,
])
export type ServerMessage = z.infer<typeof serverMessage>
