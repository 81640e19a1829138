import { z } from 'zod'
import {
  FOUND_SETS_PER_MESSAGE_MAX,
  foundReport as foundReportBefore,
  heartbeat,
  heartbeatAnswer,
  openStream,
  WANTED_ITEMS_PER_MESSAGE_MAX,
  wantedUpdate as wantedUpdateBefore,
} from '../v1/messages.ts'
import { hello as helloBefore, probe, probeReport, welcome } from '../v2/messages.ts'
import { foundInstance } from './found.ts'
import { wantedItem } from './wanted.ts'

/** Version 3: VMs beside sets (wanted.ts, found.ts). Everything else is as in version 2. */

export const FOUND_PER_MESSAGE_MAX = FOUND_SETS_PER_MESSAGE_MAX

export const hello = helloBefore.extend({
  /** What this host runs VMs with; null: it runs none, and `vmsProblem` may say why. */
  accelerator: z.enum(['kvm', 'tcg']).nullable(),
  vmsProblem: z.string().max(500).nullable(),
})
export type Hello = z.infer<typeof hello>

/** As before, of all instances. */
export const foundReport = foundReportBefore.omit({ sets: true }).extend({
  instances: z.array(foundInstance).max(FOUND_PER_MESSAGE_MAX),
})
export type FoundReport = z.infer<typeof foundReport>

export const agentMessage = z.discriminatedUnion('type', [
  hello,
  heartbeat,
  foundReport,
  probeReport,
])
export type AgentMessage = z.infer<typeof agentMessage>

export const wantedUpdate = wantedUpdateBefore.extend({
  upserts: z.array(wantedItem).max(WANTED_ITEMS_PER_MESSAGE_MAX),
})
export type WantedUpdate = z.infer<typeof wantedUpdate>

export const serverMessage = z.discriminatedUnion('type', [
  welcome,
  wantedUpdate,
  heartbeatAnswer,
  openStream,
  probe,
])
export type ServerMessage = z.infer<typeof serverMessage>
