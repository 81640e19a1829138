import { PlatformError, unreachable, type Clock, type Random } from '@nubo/base'
import type { HostFence, HostPower } from '@nubo/contracts'
import type { Log } from '@nubo/runtime'
import type { HostRow, OperationRow, Recorder, Touched, Tx, World } from '../../world/index.ts'
import {
  endOperation,
  insertOperation,
  newOperation,
  supersedeOperations,
} from '../operations/index.ts'
import type { Evacuation, PowerControl, PowerReading } from './needs.ts'
import { hostPowerOf, type PowerAsked } from './power.ts'
import { recordFenced } from './liveness-store.ts'
import { isConnected, setFenceAsked, setPower } from './store.ts'

export interface FencingDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly power: PowerControl
  readonly evacuation: Evacuation
}

export type Fencing = ReturnType<typeof createFencing>

/** What operators do about hosts that are, or should be, off. `find`: by id or name, or NOT_FOUND. */
export function createFencing(deps: FencingDeps, find: (nameOrId: string) => HostRow) {
  const { world, recorder, clock, log, power } = deps

  async function recorded(
    host: HostRow,
    progress: string,
    work: (tx: Tx, touched: Touched, operation: OperationRow) => Promise<void>,
  ): Promise<OperationRow> {
    const operation = newOperation(
      {
        projectId: null,
        kind: 'host.fence',
        resource: { kind: 'host', id: host.id, name: host.name },
        generation: 0,
        progress,
        mayCancel: true,
      },
      deps,
    )
    await recorder.write(async (tx, touched) => {
      await supersedeOperations(tx, touched, {
        resourceId: host.id,
        by: 'host.fence',
        atMs: clock.nowMs(),
      })
      await insertOperation(tx, touched, operation)
      await work(tx, touched, operation)
    })
    return world.operation.get(operation.id) ?? operation
  }

  const isDone = (tx: Tx, touched: Touched, operation: OperationRow, progress: string) =>
    endOperation(tx, touched, {
      id: operation.id,
      state: 'done',
      reason: null,
      progress,
      atMs: clock.nowMs(),
    })

  /** Errors: NOT_ALLOWED_NOW for a host that is not lost. */
  function confirm(host: HostRow): Promise<OperationRow> {
    requireLost(host)
    const atMs = clock.nowMs()
    const text = `An operator confirmed ${new Date(atMs).toISOString()} that it is off. Its \`elsewhere\` sets are placed again; the others return with it.`
    const fence: HostFence = {
      ...(host.fence ?? blankFence),
      step: 'fenced',
      text,
      by: 'operator',
      fencedAt: host.state === 'fenced' ? (host.fence?.fencedAt ?? atMs) : atMs,
    }
    return recorded(host, 'fenced', async (tx, touched, operation) => {
      const reason = { code: 'HOST_FENCED', text }
      const fencing = { hostId: host.id, record: null, fence, reason, atMs }
      const before = await recordFenced(tx, touched, { fencing, evacuation: deps.evacuation })
      // It came back at this very moment.
      if (before === undefined) throw notLost(host)
      await isDone(tx, touched, operation, 'fenced')
      log.warn('a host is fenced', { host: host.name, by: 'operator' })
    })
  }

  return {
    /** Errors: NOT_FOUND; NOT_ALLOWED_NOW says why not and what to do instead. */
    fence: async (
      nameOrId: string,
      asked: { confirmOff: boolean; force: boolean },
    ): Promise<OperationRow> => {
      const host = find(nameOrId)
      if (asked.confirmOff) return confirm(host)
      if (host.state === 'fenced')
        return recorded(host, 'fenced', (tx, touched, operation) =>
          isDone(tx, touched, operation, 'it was fenced already'),
        )
      if (host.power === null)
        throw new PlatformError(
          'NOT_ALLOWED_NOW',
          {
            host: host.name,
            next: `switch it off yourself, then: nubo host fence ${host.name} --confirm-off`,
          },
          { message: `The power of host ${host.name} is not under control.` },
        )
      if (isConnected(host) && !asked.force) throw notLost(host)
      return recorded(host, 'waits for its neighbours and its power', (tx, touched, operation) =>
        setFenceAsked(tx, touched, {
          hostId: host.id,
          asked: { operationId: operation.id, force: asked.force },
        }),
      )
    },

    /**
     * The controller is asked before it is kept: one that cannot be reached, or says that a connected host is off, would
     * be of no use or worse on the day it is needed. Errors: NOT_FOUND, INVALID_INPUT, NOT_ALLOWED_NOW.
     */
    setPower: async (
      nameOrId: string,
      asked: PowerAsked & { password: string },
    ): Promise<HostRow> => {
      const host = find(nameOrId)
      const wanted = hostPowerOf(asked)
      await power.keepPassword(host.id, asked.password)
      const reading = await power.read({ hostId: host.id, power: wanted })
      const problem = problemOf(host, reading)
      if (problem !== undefined) {
        await power.keepPassword(host.id, null)
        // With the password of the one before overwritten, that one is of no use either.
        if (host.power !== null) await record(host, null)
        throw new PlatformError(
          'NOT_ALLOWED_NOW',
          { host: host.name, redfish: wanted.redfish, next: 'check address, user and password' },
          { message: problem },
        )
      }
      await record(host, wanted)
      return find(host.id)
    },

    showPower: async (nameOrId: string) => {
      const host = find(nameOrId)
      if (host.power === null) return { power: null, state: 'none' as const, problem: null }
      const reading = await power.read({ hostId: host.id, power: host.power })
      return {
        power: host.power,
        state: reading.state,
        problem: reading.state === 'unknown' ? reading.problem : null,
      }
    },

    /** Idempotent. */
    clearPower: async (nameOrId: string): Promise<HostRow> => {
      const host = find(nameOrId)
      if (host.power !== null) await record(host, null)
      await power.keepPassword(host.id, null)
      return find(host.id)
    },
  }

  async function record(host: HostRow, wanted: HostPower | null): Promise<void> {
    const isThere = await recorder.write((tx, touched) =>
      setPower(tx, touched, { hostId: host.id, power: wanted }),
    )
    if (!isThere) throw new PlatformError('NOT_FOUND', { kind: 'host', host: host.name })
  }
}

const blankFence: HostFence = {
  step: 'fenced',
  text: '',
  silentSince: null,
  neighbours: [],
  power: 'none',
  powerProblem: null,
  by: null,
  fencedAt: null,
}

function problemOf(host: HostRow, reading: PowerReading): string | undefined {
  if (reading.state === 'unknown')
    return `The management controller gives no answer: ${reading.problem}`
  if (reading.state === 'off' && isConnected(host))
    return `The management controller says that the machine is off, but host ${host.name} is connected: this is another machine's controller.`
  return undefined
}

function requireLost(host: HostRow): void {
  switch (host.state) {
    case 'unreachable':
    case 'fenced':
      return
    case 'ready':
    case 'returning':
      throw notLost(host)
    case 'invited':
    case 'joining':
      throw new PlatformError(
        'NOT_ALLOWED_NOW',
        { host: host.name, next: `nubo host rm ${host.name}` },
        { message: `Host ${host.name} has never been in service.` },
      )
    default:
      unreachable(host.state)
  }
}

function notLost(host: HostRow): PlatformError {
  return new PlatformError(
    'NOT_ALLOWED_NOW',
    { host: host.name, next: `nubo host fence ${host.name} --force switches it off` },
    { message: `The agent of host ${host.name} is connected, so it is not off.` },
  )
}
