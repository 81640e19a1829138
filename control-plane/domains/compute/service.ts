import {
  isUuid,
  PlatformError,
  type Clock,
  type HostId,
  type ProjectId,
  type Random,
} from '@nubo/base'
import type { LogPosition, SetCreate, SetState, StreamTicket } from '@nubo/contracts'
import type { OperationRow, Recorder, Selection, SetRow, World } from '../../world/index.ts'
import { mayAct, projectOf, type Caller } from '../identity/index.ts'
import type { NetworkService } from '../network/index.ts'
import type { WorldLedger } from '../placement/index.ts'
import { draftSet } from './draft.ts'
import {
  changeInstance,
  createInstance,
  findInstance,
  type ChangeAsked,
  type RequestDeps,
} from './instance-requests.ts'
import type { ImageResolver, StreamBroker } from './needs.ts'
import { placementQuestions } from './placement-answer.ts'
import { stateOf } from './set-view.ts'
import { setUpdates } from './update.ts'
import { vmRequests } from './vm-service.ts'
import { createInstanceWriter } from './wanted-writes.ts'

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
  const requests: RequestDeps = { ...deps, record: createInstanceWriter(deps) }

  const findSet = (project: ProjectId, nameOrId: string): SetRow =>
    findInstance(
      {
        kind: 'set',
        byId: (id) => world.set.get(id),
        byName: (key) => world.set.by('name', key),
      },
      { project, nameOrId, isId: isUuid(nameOrId) },
    )

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
    /** One transaction: the set, its port, its operation. The world places it next. */
    createSet: (caller: Caller, asked: SetCreate): Promise<OperationRow> =>
      createInstance(requests, {
        row: draftSet(deps, projectOf(caller), asked),
        attachment: asked,
      }),
    ...setChanges(requests, findSet),
    ...vmRequests(deps, requests),
    ...setUpdates(deps, findSet),
    ...setStreams(deps, findSet),
  }
}

type FindSet = (project: ProjectId, nameOrId: string) => SetRow

function setChanges(deps: RequestDeps, findSet: FindSet) {
  const change = (caller: Caller, nameOrId: string, asked: ChangeAsked): Promise<OperationRow> =>
    changeInstance(deps, findSet(projectOf(caller), nameOrId), asked)
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
