import { readFileSync } from 'node:fs'
import { z } from 'zod'

/** Of one process: beyond it a second of the machine's core is better spent in another process. */
export const FLEET_HOSTS_MAX = 2_500

/** What a process of simulated hosts is told by whoever starts it; as a file, since tokens are secret. */
export const fleetConfig = z.strictObject({
  /** Is replaced with the state of the hosts every second. */
  statusFile: z.string(),
  /** How long the sandbox of a set, and each container, take to start. */
  setStartMs: z.int().min(0).max(600_000).default(0),
  capacity: z
    .strictObject({ cpuMillis: z.int(), memoryBytes: z.int(), diskBytes: z.int() })
    .optional(),
  hosts: z
    .array(z.strictObject({ token: z.string(), vtepAddress: z.string() }))
    .min(1)
    .max(FLEET_HOSTS_MAX),
})
export type FleetConfig = z.infer<typeof fleetConfig>

/** Throws what reading and parsing throws: the file is made by a program. */
export function readFleetConfig(file: string): FleetConfig {
  return fleetConfig.parse(JSON.parse(readFileSync(file, 'utf8')))
}
