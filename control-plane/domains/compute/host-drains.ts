import { PlatformError, type Clock, type Random } from '@nubo/base'
import type { HostRow, OperationRow, Recorder, World } from '../../world/index.ts'
import { lockHost, setCordoned, setDrain, setMaintenance } from '../fleet/index.ts'
import {
  endOperation,
  insertOperation,
  newOperation,
  supersedeOperations,
} from '../operations/index.ts'
import { canStop } from './drain.ts'

/** After so long a drain fails; moves that are under way then still end. */
const DRAIN_DEADLINE_MS = 3_600_000

export type HostDrains = ReturnType<typeof createHostDrains>

/** What operators do with hosts that are to be empty. `find`: by id or name, or NOT_FOUND. */
export function createHostDrains(deps: {
  world: World
  recorder: Recorder
  clock: Clock
  random: Random
  find: (nameOrId: string) => HostRow
}) {
  const { world, recorder, clock, find } = deps

  /** Cordons the host, and has its sets moved if it can be talked to. A drain that is open is replaced by this one. */
  async function begin(
    host: HostRow,
    kind: 'host.drain' | 'host.maintenance',
  ): Promise<OperationRow> {
    const operation = newOperation(
      {
        projectId: null,
        kind,
        resource: { kind: 'host', id: host.id, name: host.name },
        generation: 0,
        progress: 'looks for room for its sets',
        mayCancel: true,
        deadlineMs: DRAIN_DEADLINE_MS,
      },
      deps,
    )
    const atMs = clock.nowMs()
    const { id } = operation
    await recorder.write(async (tx, touched) => {
      const now = await lockHost(tx, host.id)
      if (now === undefined) throw new PlatformError('NOT_FOUND', { kind: 'host', host: host.name })
      if (kind === 'host.drain') requireConnected(now)
      await setCordoned(tx, touched, { id: host.id, cordoned: true })
      if (kind === 'host.maintenance')
        await setMaintenance(tx, touched, { id: host.id, maintenance: true })
      await supersedeOperations(tx, touched, { resourceId: host.id, by: kind, atMs })
      await insertOperation(tx, touched, operation)
      const sets = await setDrain(tx, touched, { hostId: host.id, operationId: id })
      if (canStop(now)) return
      const progress = `in maintenance; it is ${now.state}, so none of its ${sets} sets was moved`
      await endOperation(tx, touched, { id, state: 'done', reason: null, progress, atMs })
    })
    return world.operation.get(id) ?? operation
  }

  return {
    /** Errors: NOT_FOUND; NOT_ALLOWED_NOW for a host whose agent is not connected. */
    drain: (nameOrId: string): Promise<OperationRow> => begin(find(nameOrId), 'host.drain'),

    /** Until it ends, the host is neither fenced by itself nor counted by the brake. Errors: NOT_FOUND. */
    beginMaintenance: (nameOrId: string): Promise<OperationRow> =>
      begin(find(nameOrId), 'host.maintenance'),

    /** Uncordons the host too; nothing moves back. Idempotent for a host that is in none. Errors: NOT_FOUND. */
    endMaintenance: async (nameOrId: string): Promise<HostRow> => {
      const host = find(nameOrId)
      await recorder.write(async (tx, touched) => {
        const now = await lockHost(tx, host.id)
        if (now?.maintenance !== true) return
        const { id } = host
        await setMaintenance(tx, touched, { id, maintenance: false })
        await setCordoned(tx, touched, { id, cordoned: false })
      })
      return find(host.id)
    },
  }
}

function requireConnected(host: HostRow): void {
  if (canStop(host)) return
  const next =
    host.state === 'fenced'
      ? 'what may run elsewhere was placed again already; the rest returns with it'
      : `nubo host show ${host.name}; what may run elsewhere is placed again once it is fenced`
  throw new PlatformError(
    'NOT_ALLOWED_NOW',
    { host: host.name, next },
    { message: `Host ${host.name} is ${host.state}, so nothing can be stopped there in order.` },
  )
}
