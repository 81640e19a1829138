import { z } from 'zod'
import { id, idParams, labels, listOf, listQuery, name, reason, timeMs } from './common.ts'
import { operation } from './operation.ts'
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

export const hostState = z.enum([
  'invited',
  'joining',
  'ready',
  'unreachable',
  'fenced',
  'returning',
])

/** What is known of a host that was lost, and what is done about it. */
export const hostFence = z
  .object({
    /**
     * `looking`: neighbours and power are asked. `powering-off`, `waiting-for-lease`: what will prove that it stopped.
     * `held`: the brake or a maintenance keeps it. `blocked`: nothing can prove it; an operator can. `fenced`: proven.
     * `cleaning`: it is back and removes what was placed elsewhere meanwhile.
     */
    step: z.enum([
      'looking',
      'powering-off',
      'waiting-for-lease',
      'held',
      'blocked',
      'fenced',
      'cleaning',
    ]),
    /** What is waited for, and what an operator can do. */
    text: z.string().max(1_000),
    silentSince: timeMs.nullable(),
    neighbours: z.array(
      z.object({
        host: name,
        /** `no-report`: it was asked and did not say. */
        answer: z.enum(['silence', 'heard', 'no-report']),
        /** What the lost host said of itself to this neighbour. */
        lease: z.enum(['lasts', 'ended']).nullable(),
        elsewhereRunning: z.int().nullable(),
      }),
    ),
    /** `none`: its power is not under control. */
    power: z.enum(['none', 'unknown', 'on', 'off']),
    powerProblem: z.string().nullable(),
    /** It said that the machine is off while a neighbour heard it: what it says proves nothing until the host is back. */
    isPowerDoubted: z.boolean().optional(),
    /** What proved that it stopped. */
    by: z.enum(['power', 'lease', 'operator']).nullable(),
    fencedAt: timeMs.nullable(),
  })
  .meta({ id: 'HostFence' })
export type HostFence = z.infer<typeof hostFence>

/** The management controller of a host. Its password is never shown. */
export const hostPower = z
  .object({
    /** Address of the machine in the controller's Redfish service: 'https://10.0.0.9/redfish/v1/Systems/1'. */
    redfish: z.string(),
    user: z.string(),
    /** SHA-256 of the controller's certificate, lower-case hex; null where it is on loopback without TLS. */
    certificateSha256: z.string().nullable(),
  })
  .meta({ id: 'HostPower' })
export type HostPower = z.infer<typeof hostPower>

/** Holds all fencing while more of a zone or rack is lost at once than one believes. */
export const brake = z
  .object({
    id,
    /** 'zone zone-1' or 'rack zone-1/rack-2'. */
    name: z.string(),
    hosts: z.array(name),
    reason,
    since: timeMs,
  })
  .meta({ id: 'Brake' })
export type Brake = z.infer<typeof brake>

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
    /** Somebody works on it: it takes no instances, and is never fenced without an operator's word. */
    maintenance: z.boolean().default(false),
    /** Its sets are being moved away; the operation tells how far it is. */
    drain: z.object({ operationId: id }).nullable().default(null),
    /** Null while it is in service. */
    fence: hostFence.nullable().default(null),
    power: hostPower.nullable().default(null),
    /** Within this time after its lease ended nothing with recovery `elsewhere` runs there; null: nothing guarantees it. */
    stopsWithinMs: z.int().nullable().default(null),
    inventory: hostInventory.nullable(),
    capacity: hostResources.nullable(),
    reserve: hostResources.nullable(),
    /** What placed instances have taken. */
    allocated: hostResources,
    sets: z.int(),
    vms: z.int().default(0),
    /** What it runs VMs with; null: it runs none, and `vmsProblem` may say why. */
    accelerator: z.enum(['kvm', 'tcg']).nullable().default(null),
    vmsProblem: z.string().nullable().default(null),
    bootId: z.string().nullable(),
    vtepAddress: z.string().nullable(),
    serverName: z.string().nullable(),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Host' })
export type Host = z.infer<typeof host>

/**
 * What there is to say of a host besides its state, in words: what is done about one that was lost (where its state does
 * not say so), that it takes nothing new, is being emptied, or is worked on.
 */
export function hostRemarks(host: Host): string[] {
  const step = host.fence?.step
  return [
    ...(step === undefined || step === host.state ? [] : [step]),
    ...(host.cordoned ? ['cordoned'] : []),
    ...(host.drain === null ? [] : ['draining']),
    ...(host.maintenance ? ['maintenance'] : []),
  ]
}

export const hostPowerState = z
  .object({
    power: hostPower.nullable(),
    state: z.enum(['none', 'unknown', 'on', 'off']),
    problem: z.string().nullable(),
  })
  .meta({ id: 'HostPowerState' })

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
    form: 'list',
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
  hostDrain: defineRoute({
    method: 'POST',
    path: '/v1/hosts/:id/drain',
    summary:
      'Cordons a host and moves its sets to other hosts, each only once one of them has room for it. Ends when nothing that may move is left; fails with a reason for each set that stays. Cancelled, no further set moves and the host stays cordoned.',
    access: 'operator',
    params: idParams,
    reply: operation,
    status: 202,
  }),
  hostMaintenanceBegin: defineRoute({
    method: 'POST',
    path: '/v1/hosts/:id/maintenance',
    summary:
      'Cordons and drains a host, and keeps it from being fenced or counted by the brake until the maintenance ends. Sets with recovery `local` that were asked for on this host stay.',
    access: 'operator',
    params: idParams,
    reply: operation,
    status: 202,
  }),
  hostMaintenanceEnd: defineRoute({
    method: 'DELETE',
    path: '/v1/hosts/:id/maintenance',
    summary: 'Ends the maintenance of a host and lets new instances onto it; nothing moves back.',
    access: 'operator',
    params: idParams,
    reply: host,
    status: 200,
  }),
  hostFence: defineRoute({
    method: 'POST',
    path: '/v1/hosts/:id/fence',
    summary:
      'Has a host proven stopped, so that its `elsewhere` sets are placed again: by power-off and verification, or by the operator’s word (`confirmOff`).',
    access: 'operator',
    params: idParams,
    body: z.strictObject({
      /** I have seen that it is off, or that nothing of it runs. */
      confirmOff: z.boolean().default(false),
      /** Switch it off although its agent is connected or neighbours hear it. */
      force: z.boolean().default(false),
    }),
    reply: operation,
    status: 202,
  }),
  hostPowerSet: defineRoute({
    method: 'PUT',
    path: '/v1/hosts/:id/power',
    summary:
      'Gives Nubo the management controller of a host (Redfish). The controller is asked at once, and refused if it does not answer or says that a connected host is off.',
    access: 'operator',
    params: idParams,
    body: z.strictObject({
      redfish: z.string().max(300),
      user: z.string().min(1).max(64),
      password: z.string().min(1).max(256),
      /** Needed with https: SHA-256 of the controller's certificate as hex, colons allowed. */
      certificateSha256: z.string().max(100).optional(),
    }),
    reply: host,
    status: 200,
  }),
  hostPowerShow: defineRoute({
    method: 'GET',
    path: '/v1/hosts/:id/power',
    summary: 'Asks the management controller of a host for its power state now.',
    access: 'operator',
    params: idParams,
    reply: hostPowerState,
    status: 200,
  }),
  hostPowerClear: defineRoute({
    method: 'DELETE',
    path: '/v1/hosts/:id/power',
    summary: 'Forgets the management controller of a host and its password.',
    access: 'operator',
    params: idParams,
    reply: host,
    status: 200,
  }),
  brakeList: defineRoute({
    method: 'GET',
    path: '/v1/brakes',
    summary: 'The brake that holds all fencing, if it is on: at most one.',
    access: 'operator',
    query: z.strictObject(listQuery),
    reply: listOf(brake),
    status: 200,
    form: 'list',
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
