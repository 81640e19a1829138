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
import { logPosition } from './stream.ts'

export const CONTAINERS_PER_SET_MAX = 16

export const healthCheck = z
  .strictObject({
    /** Run inside the container; exit code 0 is healthy. */
    command: z.array(z.string().min(1).max(4_096)).min(1).max(64),
    intervalMs: z.int().min(500).max(3_600_000).default(10_000),
    timeoutMs: z.int().min(100).max(600_000).default(5_000),
    /** So many failures in a row make the container unhealthy and restart it. */
    failuresMax: z.int().min(1).max(100).default(3),
    /** Failures this soon after a start do not count. */
    startPeriodMs: z.int().min(0).max(3_600_000).default(0),
  })
  .meta({ id: 'HealthCheck' })

export const restartRule = z
  .strictObject({
    policy: z.enum(['always', 'on-failure', 'never']).default('always'),
    /** The pause before the n-th restart doubles from 100 ms up to this. */
    backoffMaxMs: z.int().min(100).max(3_600_000).default(30_000),
  })
  .meta({ id: 'RestartRule' })

export const CPU_MILLIS_MIN = 10
export const MEMORY_BYTES_MIN = 6 * 2 ** 20
const cpuMillis = z.int().min(CPU_MILLIS_MIN).max(1_024_000)
const memoryBytes = z
  .int()
  .min(MEMORY_BYTES_MIN)
  .max(64 * 2 ** 40)

export const containerSpec = z
  .strictObject({
    name,
    /** Containers start in the order of their index, lower first; equal ones together. */
    index: z.int().min(0).max(1_000).default(0),
    image: nameOrId,
    /** Replaces the image's command. */
    command: z.array(z.string().max(32_768)).max(256).optional(),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), z.string().max(32_768))
      .refine((env) => Object.keys(env).length <= 256, 'at most 256 variables')
      .default({}),
    cpuMillis: cpuMillis.optional(),
    memoryBytes: memoryBytes.optional(),
    healthCheck: healthCheck.optional(),
    restart: restartRule.prefault({}),
    stopTimeoutMs: z.int().min(0).max(600_000).default(10_000),
  })
  .meta({ id: 'ContainerSpec' })
export type ContainerSpec = z.infer<typeof containerSpec>

/** Where a failure hits together. */
export const failureDomain = z.enum(['host', 'rack', 'zone']).meta({ id: 'FailureDomain' })
export type FailureDomain = z.infer<typeof failureDomain>

export const PRIORITY_MAX = 1_000
export const PRIORITY_DEFAULT = 100

export const setPlacementRule = z
  .strictObject({
    /** Exactly this host. */
    host: nameOrId.optional(),
    /** Keep sets of one `group` label value (or of one name stem, web-1, web-2) apart. */
    spread: failureDomain.default('host'),
    /** Never two sets of one group in the same host, rack or zone; rather none than that. */
    antiAffinity: failureDomain.optional(),
    /** Only hosts that carry these labels. */
    hostLabels: labels.default({}),
  })
  .meta({ id: 'PlacementRule' })

export const setCreate = z
  .strictObject({
    name,
    network: nameOrId,
    /** Needed when the network has more than one subnet. */
    subnet: nameOrId.optional(),
    address: ipv4.optional(),
    /** An existing free port instead of subnet and address. */
    port: nameOrId.optional(),
    containers: z.array(containerSpec).min(1).max(CONTAINERS_PER_SET_MAX),
    /** Limits of the whole set. */
    cpuMillis: cpuMillis.default(500),
    memoryBytes: memoryBytes.default(128 * 2 ** 20),
    placement: setPlacementRule.prefault({}),
    recovery: z.enum(['local', 'elsewhere']).default('local'),
    /** Of the sets that wait for a host, the higher is placed first; of equal ones those that lost their host, then the oldest. */
    priority: z.int().min(0).max(PRIORITY_MAX).default(PRIORITY_DEFAULT),
    labels: labels.default({}),
  })
  .meta({ id: 'SetCreate' })
export type SetCreate = z.output<typeof setCreate>

export const setState = z.enum([
  'pending',
  'starting',
  'running',
  'degraded',
  'stopping',
  'stopped',
  'failed',
  'unknown',
  'removing',
])
export type SetState = z.infer<typeof setState>

export const containerView = z
  .object({
    name,
    index: z.int(),
    image: z.string(),
    state: z.enum(['waiting', 'starting', 'running', 'backoff', 'stopped', 'unknown']),
    reason: reason.nullable(),
    restarts: z.int(),
    exitCode: z.int().nullable(),
    health: z.enum(['none', 'starting', 'healthy', 'unhealthy']),
    startedAtMs: timeMs.nullable(),
  })
  .meta({ id: 'Container' })

export const rejectedHost = z
  .object({ host: z.string(), reason: z.string() })
  .meta({ id: 'RejectedHost' })

export const reasonCount = z
  .object({ reason: z.string(), hosts: z.int() })
  .meta({ id: 'ReasonCount' })

export const set = z
  .object({
    id,
    projectId: id,
    name,
    state: setState,
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
    containers: z.array(containerView),
    cpuMillis: z.int(),
    memoryBytes: z.int(),
    recovery: z.enum(['local', 'elsewhere']),
    priority: z.int().default(PRIORITY_DEFAULT),
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
        antiAffinity: failureDomain.nullable().default(null),
        decidedAtMs: timeMs.nullable(),
        /** Every other host where they are few, else the next best and an example of each reason. */
        rejected: z.array(rejectedHost),
        /** All other hosts by the reason. */
        counts: z.array(reasonCount).default([]),
      })
      .nullable(),
    /** The host that it had to leave last, and why; null if it never had to. */
    moved: z
      .object({ fromHost: name, fromEpoch: z.int(), atMs: timeMs, reason: z.string() })
      .nullable()
      .default(null),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Set' })
export type SetView = z.infer<typeof set>

/** A reply to exec or logs: connect a WebSocket to `path` of the same server within 30 s. */
export const streamTicket = z
  .object({ path: z.string(), expiresAtMs: timeMs })
  .meta({ id: 'StreamTicket' })
export type StreamTicket = z.infer<typeof streamTicket>

function setAction(verb: string, summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/sets/:id/${verb}`,
    summary,
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: operation,
    status: 202,
  })
}

export const setRoutes = {
  setCreate: defineRoute({
    method: 'POST',
    path: '/v1/sets',
    summary:
      'Creates a set of containers; the operation ends when all of them run (and are healthy, where checked).',
    access: 'member',
    query: z.strictObject(inProject),
    body: setCreate,
    reply: operation,
    status: 202,
  }),
  setList: defineRoute({
    method: 'GET',
    path: '/v1/sets',
    summary: 'Lists sets of a project; operators may list all projects.',
    access: 'viewer',
    query: z.strictObject({
      ...inProject,
      ...listQuery,
      host: nameOrId.optional(),
      state: setState.optional(),
      allProjects: z.enum(['true', 'false']).optional(),
    }),
    reply: listOf(set),
    status: 200,
    form: 'list',
  }),
  setShow: defineRoute({
    method: 'GET',
    path: '/v1/sets/:id',
    summary: 'Shows a set.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject(inProject),
    reply: set,
    status: 200,
  }),
  setUpdate: defineRoute({
    method: 'PUT',
    path: '/v1/sets/:id',
    summary:
      'Makes a set as described, in place: containers whose programs or limits change start anew on its host, once its images are there. With If-Match (the generation that was read) it refuses if the set changed meanwhile.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    body: setCreate,
    reply: operation,
    status: 202,
  }),
  setStart: setAction('start', 'Starts a stopped set on the host it is on.'),
  setStop: setAction('stop', 'Stops the containers of a set; it keeps its host and its address.'),
  setRestart: setAction('restart', 'Starts the containers of a set anew.'),
  setRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/sets/:id',
    summary: 'Removes a set; the port that was made with it goes too.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: operation,
    status: 202,
  }),
  setExec: defineRoute({
    method: 'POST',
    path: '/v1/sets/:id/exec',
    summary: 'Prepares a program inside a container; the stream carries its input and output.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    body: z.strictObject({
      /** The first container by index if absent. */
      container: name.optional(),
      command: z.array(z.string().min(1).max(32_768)).min(1).max(256),
      tty: z.boolean().default(false),
      stdin: z.boolean().default(false),
      columns: z.int().min(1).max(1_000).default(80),
      rows: z.int().min(1).max(1_000).default(24),
    }),
    reply: streamTicket,
    status: 200,
  }),
  setLogs: defineRoute({
    method: 'POST',
    path: '/v1/sets/:id/logs',
    summary: 'Prepares a stream of what the containers of a set print.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject(inProject),
    body: z.strictObject({
      container: name.optional(),
      follow: z.boolean().default(false),
      sinceMs: timeMs.optional(),
      tail: z.int().min(0).max(100_000).optional(),
      /** Control messages `position` say how far the log was carried; hosts that are too old give none. */
      positions: z.boolean().default(false),
      /** Continue there; `sinceMs` and `tail` then hold only for containers that are not in it. */
      after: logPosition.optional(),
    }),
    reply: streamTicket,
    status: 200,
  }),
}
