import {
  isUuid,
  macFromBytes,
  newId,
  PlatformError,
  type Clock,
  type HostId,
  type ProjectId,
  type Random,
} from '@nubo/base'
import { violatedConstraint } from '@nubo/runtime'
import type {
  HostRow,
  NetworkRow,
  PortRow,
  Recorder,
  Selection,
  SubnetRow,
  World,
} from '../../world/index.ts'
import { nameTaken, projectOf, type Caller } from '../identity/index.ts'
import { checkNetworkRange, gatewayAddress, guestMtuBytes } from './network.ts'
import {
  bindPort,
  deleteNetwork,
  deletePorts,
  deleteSubnet,
  insertNetwork,
  insertPorts,
  insertSubnet,
  lockPort,
  stillInUse,
  unbindPorts,
} from './store.ts'

export interface NetworkDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
}

export type NetworkService = ReturnType<typeof createNetworkService>

export function createNetworkService(deps: NetworkDeps) {
  const { world, clock, random } = deps

  function findNetwork(project: ProjectId, nameOrId: string): NetworkRow {
    const row = isUuid(nameOrId)
      ? world.network.get(nameOrId)
      : world.network.by('name', `${project}/${nameOrId}`)[0]
    if (row === undefined || row.projectId !== project) throw notFound('network', nameOrId)
    return row
  }

  /** Names of subnets are unique in their network; without a network the name must be unique in the project. */
  function findSubnet(project: ProjectId, nameOrId: string, networkNameOrId?: string): SubnetRow {
    const inNetwork =
      networkNameOrId === undefined ? undefined : findNetwork(project, networkNameOrId).id
    const byId = isUuid(nameOrId) ? world.subnet.get(nameOrId) : undefined
    const rows = (
      byId === undefined ? world.subnet.by('name', `${project}/${nameOrId}`) : [byId]
    ).filter(
      (row) =>
        row.projectId === project && (inNetwork === undefined || row.networkId === inNetwork),
    )
    const row = rows[0]
    if (row === undefined) throw notFound('subnet', nameOrId)
    if (rows.length > 1) {
      throw new PlatformError(
        'INVALID_INPUT',
        { field: 'subnet', next: 'name its network too, or use its id' },
        { message: `${rows.length} subnets are called ${nameOrId}.` },
      )
    }
    return row
  }

  function findPort(project: ProjectId, nameOrId: string): PortRow {
    const row = isUuid(nameOrId)
      ? world.port.get(nameOrId)
      : world.port.by('name', `${project}/${nameOrId}`)[0]
    if (row === undefined || row.projectId !== project) throw notFound('port', nameOrId)
    return row
  }

  /** The subnet that is meant when a network has only one; otherwise it must be named. */
  function chooseSubnet(
    project: ProjectId,
    asked: { network: string; subnet: string | undefined },
  ): SubnetRow {
    if (asked.subnet !== undefined) return findSubnet(project, asked.subnet, asked.network)
    const network = findNetwork(project, asked.network)
    const subnets = world.subnet.by('network', network.id)
    const only = subnets[0]
    if (only === undefined) {
      throw new PlatformError(
        'INVALID_INPUT',
        { field: 'network', next: `create one: nubo subnet create ${network.name} NAME --cidr …` },
        { message: `Network ${network.name} has no subnet.` },
      )
    }
    if (subnets.length > 1) {
      throw new PlatformError(
        'INVALID_INPUT',
        {
          field: 'subnet',
          next: `name one of: ${subnets
            .map((row) => row.name)
            .toSorted()
            .join(', ')}`,
        },
        { message: `Network ${network.name} has ${subnets.length} subnets; one must be named.` },
      )
    }
    return only
  }

  /** A port as it will be inserted; random parts are drawn here, before the transaction. */
  function draftPort(
    subnet: SubnetRow,
    port: { name: string } & Partial<Pick<PortRow, 'setId' | 'vmId' | 'ownedBySet'>>,
  ): Omit<PortRow, 'address'> {
    return {
      id: newId(clock, random),
      projectId: subnet.projectId,
      networkId: subnet.networkId,
      subnetId: subnet.id,
      name: port.name,
      mac: macFromBytes(random.bytes(5)),
      setId: port.setId ?? null,
      vmId: port.vmId ?? null,
      hostId: null,
      interfaceName: null,
      ownedBySet: port.ownedBySet ?? false,
      createdAtMs: clock.nowMs(),
    }
  }

  const finders = { findNetwork, findSubnet, findPort, chooseSubnet, draftPort }
  return {
    ...finders,

    /** Of the project, or of one network of it. */
    listSubnets: (caller: Caller, nameOrId: string | undefined): Selection<SubnetRow> => {
      const project = projectOf(caller)
      if (nameOrId === undefined)
        return { rows: (range) => world.subnet.byIn('project', project, range) }
      const { id } = findNetwork(project, nameOrId)
      return { rows: (range) => world.subnet.byIn('network', id, range) }
    },

    /** Of the project, or of one network of it. */
    listPorts: (caller: Caller, nameOrId: string | undefined): Selection<PortRow> => {
      const project = projectOf(caller)
      if (nameOrId === undefined)
        return { rows: (range) => world.port.byIn('project', project, range) }
      const { id } = findNetwork(project, nameOrId)
      return { rows: (range) => world.port.byIn('network', id, range) }
    },

    ...networkWrites(deps, finders),
    ...subnetWrites(deps, finders),
    ...portWrites(deps, finders),
  }

  function notFound(kind: string, nameOrId: string): PlatformError {
    return new PlatformError(
      'NOT_FOUND',
      { kind, [kind]: nameOrId },
      { message: `There is no ${kind} ${nameOrId} here.` },
    )
  }
}

type Finders = {
  findNetwork: (project: ProjectId, nameOrId: string) => NetworkRow
  findSubnet: (project: ProjectId, nameOrId: string, network?: string) => SubnetRow
  findPort: (project: ProjectId, nameOrId: string) => PortRow
  chooseSubnet: (
    project: ProjectId,
    asked: { network: string; subnet: string | undefined },
  ) => SubnetRow
  draftPort: (subnet: SubnetRow, port: { name: string }) => Omit<PortRow, 'address'>
}

const VNI_MAX = 2 ** 24 - 1
const VNI_ATTEMPTS_MAX = 64
const VNI_RACES_MAX = 8

function networkWrites({ world, recorder, clock, random }: NetworkDeps, { findNetwork }: Finders) {
  /** Random, so that a VNI of a network that went is not given again soon. */
  function drawVni(): number {
    const used = new Set([...world.network.values()].map((row) => row.vni))
    for (let attempt = 0; attempt < VNI_ATTEMPTS_MAX; attempt++) {
      const vni = 1 + Math.floor(random.fraction() * VNI_MAX)
      if (!used.has(vni)) return vni
    }
    throw new PlatformError(
      'ADDRESSES_EXHAUSTED',
      { limit: `${VNI_MAX} networks` },
      { message: 'No network identifier is free.' },
    )
  }

  return {
    createNetwork: async (
      caller: Caller,
      asked: { name: string; cidr: string },
    ): Promise<NetworkRow> => {
      checkNetworkRange(asked.cidr)
      const mtus = [...world.host.values()].flatMap((host) =>
        host.underlayMtuBytes === null ? [] : [host.underlayMtuBytes],
      )
      for (let attempt = 1; ; attempt++) {
        const row: NetworkRow = {
          id: newId(clock, random),
          projectId: projectOf(caller),
          name: asked.name,
          cidr: asked.cidr,
          vni: drawVni(),
          mtuBytes: guestMtuBytes(mtus),
          createdAtMs: clock.nowMs(),
        }
        try {
          await recorder.write((tx, touched) => insertNetwork(tx, touched, row))
          return row
        } catch (error) {
          // Somebody else drew the same one, and our world does not know it yet.
          if (violatedConstraint(error) === 'network_vni' && attempt < VNI_RACES_MAX) continue
          return nameTaken('network', asked.name)(error)
        }
      }
    },

    removeNetwork: async (caller: Caller, nameOrId: string): Promise<NetworkRow> => {
      const row = findNetwork(projectOf(caller), nameOrId)
      await recorder
        .write((tx, touched) => deleteNetwork(tx, touched, row))
        .catch(stillInUse('network', row.name))
      return row
    },
  }
}

function subnetWrites(
  { recorder, clock, random }: NetworkDeps,
  { findNetwork, findSubnet }: Finders,
) {
  return {
    createSubnet: async (
      caller: Caller,
      asked: { network: string; name: string; cidr: string },
    ): Promise<SubnetRow> => {
      const network = findNetwork(projectOf(caller), asked.network)
      const row: SubnetRow = {
        id: newId(clock, random),
        projectId: network.projectId,
        networkId: network.id,
        name: asked.name,
        cidr: asked.cidr,
        gatewayAddress: gatewayAddress(asked.cidr),
        gatewayMac: macFromBytes(random.bytes(5)),
        createdAtMs: clock.nowMs(),
      }
      await recorder
        .write((tx, touched) => insertSubnet(tx, touched, row))
        .catch(nameTaken('subnet', asked.name))
      return row
    },

    removeSubnet: async (
      caller: Caller,
      nameOrId: string,
      network: string | undefined,
    ): Promise<SubnetRow> => {
      const row = findSubnet(projectOf(caller), nameOrId, network)
      await recorder
        .write((tx, touched) => deleteSubnet(tx, touched, row))
        .catch(stillInUse('subnet', row.name))
      return row
    },
  }
}

function portWrites(
  { world, recorder, clock }: NetworkDeps,
  { findPort, chooseSubnet, draftPort }: Finders,
) {
  const current = (row: PortRow): PortRow => world.port.get(row.id) ?? row
  const inUse = (port: PortRow): PlatformError =>
    new PlatformError(
      'IN_USE',
      {
        port: port.name,
        next: isInstances(port) ? 'remove what uses it' : 'unbind it first',
      },
      { message: `Port ${port.name} is in use.` },
    )

  return {
    createPort: async (
      caller: Caller,
      asked: {
        name: string
        network: string
        subnet?: string | undefined
        address?: string | undefined
      },
    ): Promise<PortRow> => {
      const subnet = chooseSubnet(projectOf(caller), {
        network: asked.network,
        subnet: asked.subnet,
      })
      const port = draftPort(subnet, { name: asked.name })
      const [made] = await recorder
        .write((tx, touched) =>
          insertPorts(tx, [{ touched, asked: { port, address: asked.address } }], clock.nowMs()),
        )
        .catch(nameTaken('port', asked.name))
      if (made === undefined) throw new Error('a port was not made')
      return made
    },

    bindPortToInterface: async (
      caller: Caller,
      nameOrId: string,
      to: { host: string; interfaceName: string },
    ): Promise<PortRow> => {
      const port = findPort(projectOf(caller), nameOrId)
      const host = findHost(world, to.host)
      await recorder.write((tx, touched) =>
        bindPort(tx, touched, { port, to: { hostId: host.id, interfaceName: to.interfaceName } }),
      )
      return current(port)
    },

    /** Idempotent. */
    unbindPortFromInterface: async (caller: Caller, nameOrId: string): Promise<PortRow> => {
      const port = findPort(projectOf(caller), nameOrId)
      if (isInstances(port)) throw inUse(port)
      await recorder.write((tx, touched) => unbindPorts(tx, touched, [port]))
      return current(port)
    },

    removePort: async (caller: Caller, nameOrId: string): Promise<PortRow> => {
      const port = findPort(projectOf(caller), nameOrId)
      await recorder.write(async (tx, touched) => {
        const locked = await lockPort(tx, port.id)
        if (locked === undefined) return
        if (isInstances(locked) || locked.hostId !== null) throw inUse(port)
        await deletePorts(tx, touched, { ports: [port], nowMs: clock.nowMs() })
      })
      return port
    },
  }
}

/** Whether it is bound to a set or a VM. */
function isInstances(port: PortRow): boolean {
  // A row of a server that does not know the column is without it.
  return port.setId !== null || port.vmId !== null
}

function findHost(world: World, nameOrId: string): HostRow & { id: HostId } {
  const host = isUuid(nameOrId) ? world.host.get(nameOrId) : world.host.by('name', nameOrId)[0]
  if (host === undefined)
    throw new PlatformError(
      'NOT_FOUND',
      { kind: 'host', host: nameOrId },
      { message: `There is no host ${nameOrId}.` },
    )
  return host
}
