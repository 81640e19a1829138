import { z } from 'zod'
import { wantedNetwork, wantedPort as wantedPortBefore, wantedSet } from '../v1/wanted.ts'

/** Version 3: hosts also run VMs. Sets and networks are as before; a port may be a VM's. */

const uuid = z.uuid()

export const wantedVm = z.strictObject({
  kind: z.literal('vm'),
  id: uuid,
  projectId: uuid,
  name: z.string(),
  /** Counts changes of what is wanted; the host echoes the one it has reached. */
  generation: z.int().min(1),
  /** Counts placements; a host refuses a lower one than it has seen for this VM. */
  epoch: z.int().min(1),
  /** `stopped`: the guest is asked first, and has `stopTimeoutMs`; `off`: at once. */
  run: z.enum(['running', 'paused', 'stopped', 'off']),
  /** Raised by `vm restart`: a host that ran a lower number starts the guest anew. */
  restartCount: z.int(),
  recovery: z.enum(['local', 'elsewhere']),
  /** Virtual processors. */
  cpus: z.int().min(1).max(64),
  memoryBytes: z.int(),
  image: z.strictObject({ repository: z.string(), digest: z.string() }),
  /** Null: none, which only a VM that boots from a kernel can do without. */
  rootDiskBytes: z.int().nullable(),
  boot: z.discriminatedUnion('from', [
    z.strictObject({ from: z.literal('disk') }),
    z.strictObject({ from: z.literal('kernel'), commandLine: z.string().max(2_000) }),
  ]),
  /** So long the guest may take to switch itself off when it is asked to; then it is switched off. */
  stopTimeoutMs: z.int(),
  /** Ports of this VM, in the order of its network devices; each is an item of its own. */
  portIds: z.array(uuid).max(8),
})
export type WantedVm = z.infer<typeof wantedVm>

const [set, onInterface, remote] = wantedPortBefore.shape.at.options
export const wantedPort = wantedPortBefore.extend({
  at: z.union([set, z.strictObject({ on: z.literal('vm'), vmId: uuid }), onInterface, remote]),
})
export type WantedPort = z.infer<typeof wantedPort>

export const wantedItem = z.discriminatedUnion('kind', [
  wantedSet,
  wantedVm,
  wantedNetwork,
  wantedPort,
])
export type WantedItem = z.infer<typeof wantedItem>
export type WantedKind = WantedItem['kind']

/** Key of an item in the map: 'vm/<id>'. */
export function wantedKey(item: { kind: WantedKind; id: string }): string {
  return `${item.kind}/${item.id}`
}
