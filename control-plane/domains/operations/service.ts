import { PlatformError, type Clock } from '@nubo/base'
import type { OperationRow, Recorder, Selection, World } from '../../world/index.ts'
import { maySee, type Caller } from '../identity/index.ts'
import { afterCancel, isOpen } from './operation.ts'
import { endOperation } from './store.ts'

export type OperationService = ReturnType<typeof createOperationService>

export function createOperationService(deps: { world: World; recorder: Recorder; clock: Clock }) {
  const { world, recorder, clock } = deps

  function find(caller: Caller, id: string): OperationRow {
    const row = world.operation.get(id)
    if (row === undefined || (!maySee(caller, row) && caller.role !== 'operator')) {
      throw new PlatformError('NOT_FOUND', { kind: 'operation', operation: id })
    }
    return row
  }

  return {
    find,

    list: (caller: Caller, state: string | undefined): Selection<OperationRow> => ({
      rows: (range) => world.operation.byIn('project', caller.project ?? '', range),
      where: (_world, row) => state === undefined || row.state === state,
    }),

    /** Answers at once if it has ended, else when it ends or after `waitMs`. */
    wait: (
      caller: Caller,
      id: string,
      options: { waitMs: number; signal: AbortSignal },
    ): Promise<OperationRow> => {
      const row = find(caller, id)
      if (!isOpen(row) || options.waitMs === 0) return Promise.resolve(row)
      return new Promise((resolve) => {
        const finish = (): void => {
          timer.cancel()
          unsubscribe()
          options.signal.removeEventListener('abort', finish)
          resolve(world.operation.get(id) ?? row)
        }
        const timer = clock.after(options.waitMs, finish)
        const unsubscribe = world.subscribe(({ changes }) => {
          if (!changes.some((change) => change.kind === 'operation' && change.id === id)) return
          const now = world.operation.get(id)
          if (now === undefined || !isOpen(now)) finish()
        })
        options.signal.addEventListener('abort', finish, { once: true })
      })
    },

    /** The operation is given up, not undone: the wanted state that it wrote stays. */
    cancel: async (caller: Caller, id: string): Promise<OperationRow> => {
      const row = find(caller, id)
      if (isOpen(row) && !row.mayCancel) {
        throw new PlatformError(
          'NOT_ALLOWED_NOW',
          { operation: id, next: 'wait for its end' },
          { message: `An operation of the kind ${row.kind} cannot be cancelled.` },
        )
      }
      await recorder.write((tx, touched) =>
        endOperation(tx, touched, {
          id: row.id,
          state: 'cancelled',
          reason: afterCancel(row),
          progress: row.progress,
          atMs: clock.nowMs(),
        }),
      )
      return world.operation.get(id) ?? row
    },
  }
}
