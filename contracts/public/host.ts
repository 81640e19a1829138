import { z } from 'zod'
import { id, idParams, labels, listOf, listQuery, name, reason, timeMs } from './common.ts'
import { defineRoute } from './route.ts'

export const hostRole = z.enum(['compute', 'gateway', 'storage'])

/** Resources that instances may take: what the machine has, less what is kept for the system. */
export const hostResources = z
  .object({ cpuMillis: z.int(), memoryBytes: z.int(), diskBytes: z.int() })
  .meta({ id: 'HostResources' })

export const hostInventory = z
  .object({
    cores: z.int(),
    memoryBytes: z.int(),
    diskBytes: z.int(),
    kernel: z.string().max(200),
    /** Engine name → version, as {docker: '20.10.24', openvswitch: '3.1.0'}. */
    engines: z.record(z.string().max(40), z.string().max(100)),
    nics: z
      .array(z.object({ name: z.string().max(40), mac: z.string().max(40), mtuBytes: z.int() }))
      .max(256),
    agentVersion: z.string().max(40),
  })
  .meta({ id: 'HostInventory' })
export type HostInventory = z.infer<typeof hostInventory>

export const hostState = z.enum(['invited', 'joining', 'ready', 'unreachable'])

export const host = z
  .object({
    id,
    name,
    region: z.string(),
    zone: z.string(),
    rack: z.string(),
    roles: z.array(hostRole),
    labels,
    state: hostState,
    reason: reason.nullable(),
    since: timeMs,
    cordoned: z.boolean(),
    inventory: hostInventory.nullable(),
    capacity: hostResources.nullable(),
    reserve: hostResources.nullable(),
    /** What placed instances have taken. */
    allocated: hostResources,
    sets: z.int(),
    bootId: z.string().nullable(),
    vtepAddress: z.string().nullable(),
    serverName: z.string().nullable(),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Host' })
export type Host = z.infer<typeof host>

export const hostInvited = z
  .object({
    host,
    /** Given to `nubo agent join`; single use. */ token: z.string(),
    expiresAtMs: timeMs,
  })
  .meta({ id: 'HostInvited' })

export const hostRoutes = {
  hostInvite: defineRoute({
    method: 'POST',
    path: '/v1/hosts',
    summary:
      'Registers a host and gives the token with which its agent joins; a known host gets a new token.',
    access: 'operator',
    body: z.strictObject({
      name,
      zone: name.default('zone-1'),
      rack: name.default('rack-1'),
      roles: z.array(hostRole).min(1).max(3).default(['compute']),
      labels: labels.default({}),
    }),
    reply: hostInvited,
    status: 200,
  }),
  hostList: defineRoute({
    method: 'GET',
    path: '/v1/hosts',
    summary: 'Lists hosts.',
    access: 'operator',
    query: z.strictObject(listQuery),
    reply: listOf(host),
    status: 200,
  }),
  hostShow: defineRoute({
    method: 'GET',
    path: '/v1/hosts/:id',
    summary: 'Shows a host.',
    access: 'operator',
    params: idParams,
    reply: host,
    status: 200,
  }),
  hostCordon: defineRoute({
    method: 'POST',
    path: '/v1/hosts/:id/cordon',
    summary: 'Keeps new instances away from a host; what runs stays.',
    access: 'operator',
    params: idParams,
    reply: host,
    status: 200,
  }),
  hostUncordon: defineRoute({
    method: 'POST',
    path: '/v1/hosts/:id/uncordon',
    summary: 'Lets new instances onto a host again.',
    access: 'operator',
    params: idParams,
    reply: host,
    status: 200,
  }),
  hostRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/hosts/:id',
    summary:
      'Revokes a host and forgets it; its live connection is cut. Refused while instances are placed on it.',
    access: 'operator',
    params: idParams,
    reply: host,
    status: 200,
  }),
}
