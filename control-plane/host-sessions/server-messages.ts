import {
  PROBE_TARGETS_MAX,
  PROBE_TIMEOUT_MAX_MS,
  PROBE_TIMEOUT_MIN_MS,
  probeResult,
  probeTarget,
} from '@nubo/contracts/host'
import { z } from 'zod'

/**
 * What one server asks of the one that has a host's session, and the answer. Every server hears all of them. Servers of
 * an older release skip what they do not know, so a form never changes; a new one is added.
 */
const openStream = z.strictObject({
  hostId: z.uuid(),
  server: z.string().max(200),
  token: z.string().max(100),
})

const probe = z.strictObject({
  type: z.literal('probe'),
  /** Names the question together with who asks it. */
  id: z.int(),
  /** Name of the server that waits for the answer. */
  from: z.string().max(200),
  hostId: z.uuid(),
  timeoutMs: z.int().min(PROBE_TIMEOUT_MIN_MS).max(PROBE_TIMEOUT_MAX_MS),
  targets: z.array(probeTarget).min(1).max(PROBE_TARGETS_MAX),
})

export type ProbeQuestion = z.infer<typeof probe>

const probed = z.strictObject({
  type: z.literal('probed'),
  id: z.int(),
  to: z.string().max(200),
  /** Null: the host was not asked, or did not answer. */
  results: z.array(probeResult).max(PROBE_TARGETS_MAX).nullable(),
})

const betweenServers = z.union([openStream, probe, probed])
export type BetweenServers = z.infer<typeof betweenServers>

/** Undefined if this release does not know it. */
export function parseBetweenServers(payload: string): BetweenServers | undefined {
  try {
    return betweenServers.safeParse(JSON.parse(payload)).data
  } catch {
    return undefined
  }
}
