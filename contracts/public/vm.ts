import { z } from 'zod'
import {
  id,
  idParams,
  inProject,
  ipv4,
  labels,
  listOf,
  listQuery,
  mac,
  name,
  nameOrId,
  reason,
  timeMs,
} from './common.ts'
import { operation } from './operation.ts'
import { defineRoute } from './route.ts'
import {
  failureDomain,
  PRIORITY_DEFAULT,
  PRIORITY_MAX,
  reasonCount,
  rejectedHost,
  setPlacementRule,
} from './set.ts'

export const VM_CPUS_MAX = 64
/** QEMU gives memory in whole pages of this. */
const MEMORY_STEP_BYTES = 2 ** 20
export const VM_MEMORY_BYTES_MIN = 64 * MEMORY_STEP_BYTES
export const VM_DISK_BYTES_MIN = 64 * MEMORY_STEP_BYTES
/** A virtual processor may have a whole one; how many of them share one is the region's overcommit. */
export const CPU_MILLIS_PER_VCPU = 1_000

const memoryBytes = z
  .int()
  .min(VM_MEMORY_BYTES_MIN)
  .max(4 * 2 ** 40)
  .multipleOf(MEMORY_STEP_BYTES)

export const vmCreate = z
  .strictObject({
    name,
    network: nameOrId,
    /** Needed when the network has more than one subnet. */
    subnet: nameOrId.optional(),
    address: ipv4.optional(),
    /** An existing free port instead of subnet and address. */
    port: nameOrId.optional(),
    /** A disk, or a kernel with its initial file system. */
    image: nameOrId,
    /** Virtual processors. */
    cpus: z.int().min(1).max(VM_CPUS_MAX).default(1),
    memoryBytes: memoryBytes.default(512 * MEMORY_STEP_BYTES),
    /** Of its own disk, a copy-on-write overlay of the image; as large as the image asks for if absent. */
    diskBytes: z
      .int()
      .min(VM_DISK_BYTES_MIN)
      .max(64 * 2 ** 40)
      .multipleOf(MEMORY_STEP_BYTES)
      .optional(),
    /** So long the guest may take to switch itself off before it is switched off. */
    stopTimeoutMs: z.int().min(0).max(600_000).default(60_000),
    placement: setPlacementRule.prefault({}),
    recovery: z.enum(['local', 'elsewhere']).default('local'),
    /** Of the instances that wait for a host, the higher is placed first. */
    priority: z.int().min(0).max(PRIORITY_MAX).default(PRIORITY_DEFAULT),
    labels: labels.default({}),
  })
  .meta({ id: 'VmCreate' })
export type VmCreate = z.output<typeof vmCreate>

export const vmState = z.enum([
  'pending',
  'starting',
  'running',
  'paused',
  'stopping',
  'stopped',
  'failed',
  'unknown',
  'removing',
])
export type VmState = z.infer<typeof vmState>

export const vm = z
  .object({
    id,
    projectId: id,
    name,
    state: vmState,
    reason: reason.nullable(),
    /** Since when it is in this state. */
    sinceMs: timeMs,
    host: z.string().nullable(),
    network: z.string(),
    subnet: z.string(),
    address: ipv4,
    ports: z.array(
      z.object({ id, name, address: ipv4, mac, network: z.string(), subnet: z.string() }),
    ),
    image: z.string(),
    cpus: z.int(),
    memoryBytes: z.int(),
    disks: z.array(z.object({ name: z.string(), sizeBytes: z.int() })),
    /** What runs its instructions; null while it does not run. */
    accelerator: z.enum(['kvm', 'tcg']).nullable(),
    startedAtMs: timeMs.nullable(),
    /** How often it ended by itself and was started again. */
    restarts: z.int(),
    recovery: z.enum(['local', 'elsewhere']),
    priority: z.int(),
    labels,
    /** How often the wanted state changed, and which of these the host has reached. */
    generation: z.int(),
    foundGeneration: z.int(),
    /** How often it was placed. */
    epoch: z.int(),
    placement: z
      .object({
        score: z.number(),
        spread: z.string(),
        antiAffinity: failureDomain.nullable(),
        decidedAtMs: timeMs.nullable(),
        rejected: z.array(rejectedHost),
        counts: z.array(reasonCount),
      })
      .nullable(),
    moved: z
      .object({ fromHost: name, fromEpoch: z.int(), atMs: timeMs, reason: z.string() })
      .nullable(),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Vm' })
export type VmView = z.infer<typeof vm>

function vmAction(verb: string, summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/vms/:id/${verb}`,
    summary,
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: operation,
    status: 202,
  })
}

export const vmRoutes = {
  vmCreate: defineRoute({
    method: 'POST',
    path: '/v1/vms',
    summary: 'Creates a virtual machine; the operation ends when its processors run.',
    access: 'member',
    query: z.strictObject(inProject),
    body: vmCreate,
    reply: operation,
    status: 202,
  }),
  vmList: defineRoute({
    method: 'GET',
    path: '/v1/vms',
    summary: 'Lists virtual machines of a project; operators may list all projects.',
    access: 'viewer',
    query: z.strictObject({
      ...inProject,
      ...listQuery,
      host: nameOrId.optional(),
      state: vmState.optional(),
      allProjects: z.enum(['true', 'false']).optional(),
    }),
    reply: listOf(vm),
    status: 200,
    form: 'list',
  }),
  vmShow: defineRoute({
    method: 'GET',
    path: '/v1/vms/:id',
    summary: 'Shows a virtual machine.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject(inProject),
    reply: vm,
    status: 200,
  }),
  vmStart: vmAction('start', 'Starts a virtual machine that is stopped, on the host it is on.'),
  vmStop: defineRoute({
    method: 'POST',
    path: '/v1/vms/:id/stop',
    summary:
      'Asks the guest to switch itself off, and switches it off after its time or, forced, at once; it keeps host, address and disk.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    body: z.strictObject({ force: z.boolean().default(false) }),
    reply: operation,
    status: 202,
  }),
  vmRestart: vmAction('restart', 'Stops the guest in order, and starts it again.'),
  vmPause: vmAction('pause', 'Holds the processors of a virtual machine; its memory stays.'),
  vmResume: vmAction('resume', 'Lets the processors of a paused virtual machine go on.'),
  vmRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/vms/:id',
    summary: 'Removes a virtual machine with its disk; the port that was made with it goes too.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: operation,
    status: 202,
  }),
}
