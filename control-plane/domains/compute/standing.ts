import type { Reason, SetState, VmState } from '@nubo/contracts'
import {
  isLeaving,
  type HostRow,
  type InstanceRow,
  type SetFoundRow,
  type SetRow,
  type VmFoundRow,
  type VmRow,
} from '../../world/index.ts'

export interface Standing<State> {
  readonly state: State
  readonly reason: Reason | null
  readonly sinceMs: number
}

/** Whether the host's word is about this placement. */
export function isFoundCurrent<Found extends SetFoundRow | VmFoundRow>(
  row: InstanceRow,
  found: Found | undefined,
): found is Found {
  return found !== undefined && found.epoch === row.epoch && found.hostId === row.hostId
}

interface Around<Found> {
  readonly host: HostRow | undefined
  readonly found: Found | undefined
}

/** The state of an instance from what is wanted, where it is, and what its host said last. Pure. */
export function standingOf(row: SetRow, around: Around<SetFoundRow>): Standing<SetState>
export function standingOf(row: VmRow, around: Around<VmFoundRow>): Standing<VmState>
export function standingOf(
  row: InstanceRow,
  around: Around<SetFoundRow | VmFoundRow>,
): Standing<SetState | VmState> {
  const { host } = around
  const found = isFoundCurrent(row, around.found) ? around.found : undefined
  const sinceMs = found?.sinceMs ?? row.placement?.decidedAtMs ?? row.createdAtMs
  if (row.hostId === null || host === undefined) {
    return {
      state: row.wanted === 'removed' ? 'removing' : 'pending',
      reason: row.placement?.reason ?? { code: 'NOT_PLACED', text: 'waits to be placed' },
      sinceMs: row.createdAtMs,
    }
  }
  // A host that returns is connected: what it says of its own sets counts.
  if (host.state !== 'ready' && host.state !== 'returning') {
    const held =
      host.state === 'fenced' && row.recovery === 'elsewhere'
        ? '; it returns with its host, which has not heard that it may run elsewhere'
        : ''
    const text = `host ${host.name} is ${host.state}${host.reason === null ? '' : `: ${host.reason.text}`}${held}`
    return {
      state: row.wanted === 'removed' ? 'removing' : 'unknown',
      reason: { code: 'HOST_UNREACHABLE', text },
      sinceMs: host.sinceMs,
    }
  }
  if (row.wanted === 'removed') return { state: 'removing', reason: found?.reason ?? null, sinceMs }
  const { leaving } = row
  if (isLeaving(row)) {
    const text = `${leaving?.reason}; it stops here and then starts on another host`
    const reason = found?.reason ?? { code: 'HOST_DRAINED', text }
    return { state: 'stopping', reason, sinceMs: leaving?.sinceMs ?? sinceMs }
  }
  if (found === undefined || found.generation < row.generation) {
    return {
      state: row.wanted === 'stopped' || row.wanted === 'off' ? 'stopping' : 'starting',
      reason: found?.reason ?? null,
      sinceMs,
    }
  }
  return { state: stateOfFound(found.state), reason: found.reason, sinceMs: found.sinceMs }
}

function stateOfFound(state: (SetFoundRow | VmFoundRow)['state']): SetState | VmState {
  switch (state) {
    case 'pending':
    case 'pulling':
    case 'starting':
    case 'absent':
      return 'starting'
    case 'running':
    case 'paused':
    case 'degraded':
    case 'stopping':
    case 'stopped':
    case 'failed':
      return state
  }
}
