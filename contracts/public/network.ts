import { z } from 'zod'
import {
  cidr,
  id,
  idParams,
  inProject,
  ipv4,
  listOf,
  listQuery,
  mac,
  name,
  nameOrId,
  timeMs,
} from './common.ts'
import { defineRoute } from './route.ts'

export const network = z
  .object({
    id,
    projectId: id,
    name,
    cidr,
    /** VXLAN network identifier, 24 bits; unique in the region. */
    vni: z
      .int()
      .min(1)
      .max(2 ** 24 - 1),
    mtuBytes: z.int(),
    subnets: z.int(),
    ports: z.int(),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Network' })
export type Network = z.infer<typeof network>

export const subnet = z
  .object({
    id,
    projectId: id,
    networkId: id,
    network: name,
    name,
    cidr,
    gatewayAddress: ipv4,
    gatewayMac: mac,
    addressesFree: z.int(),
    ports: z.int(),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Subnet' })
export type Subnet = z.infer<typeof subnet>

export const portBinding = z
  .union([
    z.object({ kind: z.literal('set'), setId: id, set: z.string() }),
    z.object({ kind: z.literal('vm'), vmId: id, vm: z.string() }),
    z.object({
      kind: z.literal('interface'),
      hostId: id,
      host: z.string(),
      interfaceName: z.string(),
    }),
  ])
  .meta({ id: 'PortBinding' })

export const port = z
  .object({
    id,
    projectId: id,
    networkId: id,
    network: name,
    subnetId: id,
    subnet: name,
    name,
    mac,
    address: ipv4,
    /** What it is attached to; null while it waits for an instance. */
    binding: portBinding.nullable(),
    host: z.string().nullable(),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Port' })
export type Port = z.infer<typeof port>

const listInProject = z.strictObject({ ...inProject, ...listQuery })

export const networkRoutes = {
  networkCreate: defineRoute({
    method: 'POST',
    path: '/v1/networks',
    summary: 'Creates an isolated network; subnets lie in its range.',
    access: 'member',
    query: z.strictObject(inProject),
    body: z.strictObject({ name, cidr }),
    reply: network,
    status: 200,
  }),
  networkList: defineRoute({
    method: 'GET',
    path: '/v1/networks',
    summary: 'Lists networks of a project.',
    access: 'viewer',
    query: listInProject,
    reply: listOf(network),
    status: 200,
    form: 'list',
  }),
  networkShow: defineRoute({
    method: 'GET',
    path: '/v1/networks/:id',
    summary: 'Shows a network.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject(inProject),
    reply: network,
    status: 200,
  }),
  networkRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/networks/:id',
    summary: 'Removes a network without subnets.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: network,
    status: 200,
  }),
  subnetCreate: defineRoute({
    method: 'POST',
    path: '/v1/subnets',
    summary: 'Creates a subnet in a network; its first address is the gateway.',
    access: 'member',
    query: z.strictObject(inProject),
    body: z.strictObject({ network: nameOrId, name, cidr }),
    reply: subnet,
    status: 200,
  }),
  subnetList: defineRoute({
    method: 'GET',
    path: '/v1/subnets',
    summary: 'Lists subnets of a project or of one network.',
    access: 'viewer',
    query: z.strictObject({ ...inProject, ...listQuery, network: nameOrId.optional() }),
    reply: listOf(subnet),
    status: 200,
    form: 'list',
  }),
  subnetRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/subnets/:id',
    summary:
      'Removes a subnet without ports. A name must be unique in the project here, else use the id.',
    access: 'member',
    params: idParams,
    query: z.strictObject({ ...inProject, network: nameOrId.optional() }),
    reply: subnet,
    status: 200,
  }),
  portCreate: defineRoute({
    method: 'POST',
    path: '/v1/ports',
    summary: 'Creates a port with an address that stays, before any instance uses it.',
    access: 'member',
    query: z.strictObject(inProject),
    body: z.strictObject({
      name,
      network: nameOrId,
      /** Needed when the network has more than one subnet. */
      subnet: nameOrId.optional(),
      address: ipv4.optional(),
    }),
    reply: port,
    status: 200,
  }),
  portList: defineRoute({
    method: 'GET',
    path: '/v1/ports',
    summary: 'Lists ports of a project or of one network.',
    access: 'viewer',
    query: z.strictObject({ ...inProject, ...listQuery, network: nameOrId.optional() }),
    reply: listOf(port),
    status: 200,
    form: 'list',
  }),
  portShow: defineRoute({
    method: 'GET',
    path: '/v1/ports/:id',
    summary: 'Shows a port.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject(inProject),
    reply: port,
    status: 200,
  }),
  portBind: defineRoute({
    method: 'POST',
    path: '/v1/ports/:id/bind',
    summary:
      'Attaches a free port to a network interface that exists on a host (operators; for appliances and probes).',
    access: 'operator',
    params: idParams,
    query: z.strictObject(inProject),
    body: z.strictObject({
      host: nameOrId,
      interfaceName: z.string().regex(/^[A-Za-z0-9_.-]{1,15}$/),
    }),
    reply: port,
    status: 200,
  }),
  portUnbind: defineRoute({
    method: 'POST',
    path: '/v1/ports/:id/unbind',
    summary: 'Detaches a port from a host interface.',
    access: 'operator',
    params: idParams,
    query: z.strictObject(inProject),
    reply: port,
    status: 200,
  }),
  portRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/ports/:id',
    summary: 'Removes a port that nothing uses; its address rests before it is given again.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: port,
    status: 200,
  }),
}
