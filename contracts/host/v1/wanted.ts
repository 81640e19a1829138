import { z } from 'zod'
import { healthCheck, restartRule } from '../../public/set.ts'

/** Wanted state is a map of small items, so that a snapshot and a delta are the same thing. */
const uuid = z.uuid()

export const wantedContainer = z.strictObject({
  name: z.string(),
  index: z.int(),
  image: z.strictObject({ repository: z.string(), digest: z.string() }),
  /** Null: the image's own command. */
  command: z.array(z.string()).nullable(),
  env: z.record(z.string(), z.string()),
  cpuMillis: z.int().nullable(),
  memoryBytes: z.int().nullable(),
  healthCheck: healthCheck.nullable(),
  restart: restartRule,
  stopTimeoutMs: z.int(),
})
export type WantedContainer = z.infer<typeof wantedContainer>

export const wantedSet = z.strictObject({
  kind: z.literal('set'),
  id: uuid,
  projectId: uuid,
  name: z.string(),
  /** Counts changes of what is wanted; the host echoes the one it has reached. */
  generation: z.int().min(1),
  /** Counts placements; a host refuses a lower one than it has seen for this set. */
  epoch: z.int().min(1),
  run: z.enum(['running', 'stopped']),
  /** Raised by `set restart`: a host that ran a lower number starts the containers anew. */
  restartCount: z.int(),
  recovery: z.enum(['local', 'elsewhere']),
  cpuMillis: z.int(),
  memoryBytes: z.int(),
  containers: z.array(wantedContainer).min(1).max(64),
  /** Ports of this set, in the order eth0, eth1, …; each is an item of its own. */
  portIds: z.array(uuid).max(8),
})
export type WantedSet = z.infer<typeof wantedSet>

export const wantedNetwork = z.strictObject({
  kind: z.literal('network'),
  id: uuid,
  vni: z
    .int()
    .min(1)
    .max(2 ** 24 - 1),
  mtuBytes: z.int(),
  subnets: z.array(
    z.strictObject({
      id: uuid,
      cidr: z.string(),
      gatewayAddress: z.string(),
      gatewayMac: z.string(),
    }),
  ),
})
export type WantedNetwork = z.infer<typeof wantedNetwork>

/** A port of a network that has ports on this host: its own (`local`) or where another one is. */
export const wantedPort = z.strictObject({
  kind: z.literal('port'),
  id: uuid,
  networkId: uuid,
  subnetId: uuid,
  mac: z.string(),
  address: z.string(),
  at: z.union([
    z.strictObject({ on: z.literal('set'), setId: uuid }),
    z.strictObject({ on: z.literal('interface'), interfaceName: z.string() }),
    /** Underlay address of the other host's tunnel end. */
    z.strictObject({ on: z.literal('remote'), vtep: z.string() }),
  ]),
})
export type WantedPort = z.infer<typeof wantedPort>

export const wantedItem = z.discriminatedUnion('kind', [wantedSet, wantedNetwork, wantedPort])
export type WantedItem = z.infer<typeof wantedItem>
export type WantedKind = WantedItem['kind']
