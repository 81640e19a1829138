import {
  isUuid,
  PlatformError,
  type Clock,
  type HostId,
  type ProjectId,
  type Random,
} from '@nubo/base'
import type { LogPosition, SetCreate, SetState, StreamTicket } from '@nubo/contracts'
import type {
  OperationRow,
  PortRow,
  Recorder,
  Selection,
  SetRow,
  World,
} from '../../world/index.ts'
import { mayAct, nameTaken, projectOf, type Caller } from '../identity/index.ts'
import type { NetworkService } from '../network/index.ts'
import { newOperation } from '../operations/index.ts'
import type { WorldLedger } from '../placement/index.ts'
import { draftSet } from './draft.ts'
import type { ImageResolver, StreamBroker } from './needs.ts'
import { placementQuestions } from './placement-answer.ts'
import { stateOf } from './set-view.ts'
import { setUpdates } from './update.ts'
import { createSetWriter, type SetCreation } from './wanted-writes.ts'

export interface ComputeDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly network: NetworkService
  readonly images: ImageResolver
  readonly streams: StreamBroker
  readonly ledger: WorldLedger
}

export type ComputeService = ReturnType<typeof createComputeService>

export function createComputeService(deps: ComputeDeps) {
  const { world } = deps
  const record = createSetWriter(deps)

  function findSet(project: ProjectId, nameOrId: string): SetRow {
    const row = isUuid(nameOrId)
      ? world.set.get(nameOrId)
      : world.set.by('name', `${project}/${nameOrId}`)[0]
    if (row === undefined || row.projectId !== project) {
      throw new PlatformError(
        'NOT_FOUND',
        { kind: 'set', set: nameOrId },
        { message: `There is no set ${nameOrId} here.` },
      )
    }
    return row
  }

  return {
    findSet,

    /** Of the caller's project; of all projects if an operator asks for that. */
    listSets: (
      caller: Caller,
      asked: {
        host?: string | undefined
        state?: SetState | undefined
        allProjects?: 'true' | 'false' | undefined
      },
    ): Selection<SetRow> => {
      const isEverywhere = asked.allProjects === 'true' && mayAct(caller.role, 'operator')
      const project = isEverywhere ? undefined : projectOf(caller)
      const { host, state } = asked
      const hostId = host === undefined ? undefined : (world.host.by('name', host)[0]?.id ?? host)
      return {
        rows: (range) =>
          hostId !== undefined
            ? world.set.byIn('host', hostId, range)
            : project !== undefined
              ? world.set.byIn('project', project, range)
              : world.set.in(range),
        where: (at, set) =>
          (project === undefined || set.projectId === project) &&
          (state === undefined || stateOf(at, set) === state),
      }
    },

    ...placementQuestions({ ...deps, findSet }),
    ...setCreation(deps, record),
    ...setChanges(deps, findSet, record),
    ...setUpdates(deps, findSet),
    ...setStreams(deps, findSet),
  }
}

type RecordWrite = ReturnType<typeof createSetWriter>

function setCreation(deps: ComputeDeps, record: RecordWrite) {
  const { world, network } = deps

  /** The set's port: a free one that was named, or a new one drawn here, which gets its address as it is recorded. */
  function portOf(project: ProjectId, asked: SetCreate, setId: SetRow['id']): SetCreation['port'] {
    if (asked.port !== undefined) {
      const port: PortRow = network.findPort(project, asked.port)
      if (port.networkId !== network.findNetwork(project, asked.network).id) {
        throw new PlatformError(
          'INVALID_INPUT',
          { field: 'port' },
          { message: `Port ${port.name} is in another network.` },
        )
      }
      return port
    }
    const subnet = network.chooseSubnet(project, { network: asked.network, subnet: asked.subnet })
    const name = portName(asked.name, setId)
    const port = network.draftPort(subnet, { name, setId, ownedBySet: true })
    return { port, address: asked.address }
  }

  return {
    /** One transaction: the set, its port, its operation. The world places it next. */
    createSet: async (caller: Caller, asked: SetCreate): Promise<OperationRow> => {
      const project = projectOf(caller)
      const row = draftSet(deps, project, asked)
      const port = portOf(project, asked, row.id)
      const operation = newOperation(
        {
          projectId: project,
          kind: 'set.create',
          resource: { kind: 'set', id: row.id, name: row.name },
          generation: 1,
          progress: 'waits to be placed',
          mayCancel: true,
        },
        deps,
      )
      await record({ kind: 'create', row, operation, port })
        .catch(nameTaken('set', asked.name))
        .catch(nameTaken('port', portName(asked.name, row.id)))
      return world.operation.get(operation.id) ?? operation
    },
  }
}

const PORT_NAME_CHARACTERS_MAX = 63

/** Ports made with a set are called after it; where that is too long, the set's id keeps the names apart. */
function portName(set: string, setId: SetRow['id']): string {
  const name = `${set}-eth0`
  if (name.length <= PORT_NAME_CHARACTERS_MAX) return name
  return `${set.slice(0, 45)}-${setId.slice(-12)}-eth0`
}

type FindSet = (project: ProjectId, nameOrId: string) => SetRow

function setChanges(deps: ComputeDeps, findSet: FindSet, record: RecordWrite) {
  const { world } = deps

  async function change(
    caller: Caller,
    nameOrId: string,
    to: {
      verb: 'start' | 'stop' | 'restart' | 'remove'
      wanted: SetRow['wanted']
      progress: string
    },
  ): Promise<OperationRow> {
    const set = findSet(projectOf(caller), nameOrId)
    const operation = newOperation(
      {
        projectId: set.projectId,
        kind: `set.${to.verb}`,
        resource: { kind: 'set', id: set.id, name: set.name },
        generation: 0,
        progress: to.progress,
        mayCancel: false,
      },
      deps,
    )
    const { wanted, verb } = to
    await record({ kind: 'change', set, wanted, restart: verb === 'restart', operation })
    return world.operation.get(operation.id) ?? operation
  }

  return {
    startSet: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'start', wanted: 'running', progress: 'starting' }),
    stopSet: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'stop', wanted: 'stopped', progress: 'stopping' }),
    restartSet: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'restart', wanted: 'running', progress: 'restarting' }),
    removeSet: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'remove', wanted: 'removed', progress: 'removing' }),
  }
}

function setStreams({ streams }: ComputeDeps, findSet: FindSet) {
  function placed(
    caller: Caller,
    nameOrId: string,
    container: string | undefined,
  ): { set: SetRow; hostId: HostId } {
    const set = findSet(projectOf(caller), nameOrId)
    if (set.hostId === null) {
      throw new PlatformError(
        'NOT_ALLOWED_NOW',
        { set: set.name },
        { message: `Set ${set.name} is on no host yet.` },
      )
    }
    if (container !== undefined && !set.containers.some((one) => one.name === container)) {
      throw new PlatformError(
        'NOT_FOUND',
        { kind: 'container', next: `one of: ${set.containers.map((one) => one.name).join(', ')}` },
        { message: `Set ${set.name} has no container ${container}.` },
      )
    }
    return { set, hostId: set.hostId }
  }

  return {
    openExec: (
      caller: Caller,
      nameOrId: string,
      asked: {
        container?: string | undefined
        command: string[]
        tty: boolean
        stdin: boolean
        columns: number
        rows: number
      },
    ): StreamTicket => {
      const { set, hostId } = placed(caller, nameOrId, asked.container)
      const container = asked.container ?? set.containers[0]?.name
      if (container === undefined) throw new Error('a set has no containers')
      const { command, tty, stdin, columns, rows } = asked
      return streams.open({
        hostId,
        setId: set.id,
        caller,
        request: {
          type: 'exec',
          setId: set.id,
          epoch: set.epoch,
          container,
          command,
          tty,
          stdin,
          columns,
          rows,
        },
      })
    },

    openLogs: (
      caller: Caller,
      nameOrId: string,
      asked: {
        container?: string | undefined
        follow: boolean
        sinceMs?: number | undefined
        tail?: number | undefined
        positions: boolean
        after?: LogPosition | undefined
      },
    ): StreamTicket => {
      const { set, hostId } = placed(caller, nameOrId, asked.container)
      return streams.open({
        hostId,
        setId: set.id,
        caller,
        request: {
          type: 'logs',
          setId: set.id,
          epoch: set.epoch,
          container:
            asked.container ??
            (set.containers.length === 1 ? (set.containers[0]?.name ?? null) : null),
          follow: asked.follow,
          sinceMs: asked.sinceMs ?? null,
          tail: asked.tail ?? null,
          positions: asked.positions,
          after: asked.after ?? null,
        },
      })
    },
  }
}
