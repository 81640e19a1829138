import type { Clock } from '@nubo/base'
import {
  foundOf,
  instancesBy,
  kindOf,
  type HostRow,
  type InstanceRow,
  type Recorder,
  type Touched,
  type Tx,
  type World,
} from '../../../world/index.ts'
import { lockHost } from '../../fleet/index.ts'
import { endOperationsOf } from '../../operations/index.ts'
import { mayRunElsewhere } from '../recovery.ts'
import { removeRows } from '../removal.ts'
import { lockInstances, releaseInstances } from '../store.ts'

export interface EvacuateDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
}

const BATCH_MAX = 256

/** Part of the transaction that fences a host: what may run elsewhere waits for a place there from now on. */
export async function releaseFrom(
  tx: Tx,
  touched: Touched,
  fenced: { host: HostRow; atMs: number },
): Promise<void> {
  const { host, atMs } = fenced
  await releaseInstances(tx, touched, {
    host,
    atMs,
    reason: { code: 'HOST_FENCED', text: `its host ${host.name} was fenced` },
  })
}

/**
 * What is left to do on fenced hosts: what the fencing left out by mistake is released, and what is to be
 * removed is gone, since nothing of them runs. Where only leases have ended, `local` sets may still run on a host that is
 * cut off; they wait for the host or for an operator's word. A host that boots starts its `local` sets before it hears that
 * they were removed, so it holds their addresses until it is clean; sets with ports of their own wait for it.
 */
export async function evacuateFenced(deps: EvacuateDeps): Promise<void> {
  const { world } = deps
  for (const host of world.host.by('lost', 'yes')) {
    if (host.state !== 'fenced') continue
    const rows = instancesBy(world, 'host', host.id)
    const isLate = rows.some((row) => isElsewhere(world, row) && row.wanted !== 'removed')
    const gone = rows
      .filter((row) => isGone(world, host, row) && !mayMeetTwin(world, row))
      .slice(0, BATCH_MAX)
    if (isLate || gone.length > 0) await evacuate(deps, { host, gone })
  }
}

function isElsewhere(world: World, row: InstanceRow): boolean {
  return mayRunElsewhere(row, foundOf(world, row))
}

function isGone(world: World, host: HostRow, row: InstanceRow): boolean {
  return row.wanted === 'removed' && (isElsewhere(world, row) || host.fence?.by !== 'lease')
}

/** A port that outlives its instance can be given to another, which would then have the address of what the host may start. */
function mayMeetTwin(world: World, row: InstanceRow): boolean {
  const ports = world.port.by('instance', row.id)
  return !isElsewhere(world, row) && ports.some((port) => !port.ownedBySet)
}

async function evacuate(
  { world, recorder, clock }: EvacuateDeps,
  { host: seen, gone }: { host: HostRow; gone: readonly InstanceRow[] },
): Promise<void> {
  const atMs = clock.nowMs()
  await recorder.write(async (tx, touched) => {
    const host = await lockHost(tx, seen.id)
    // It is back: it says itself what runs there.
    if (host?.state !== 'fenced') return
    await releaseFrom(tx, touched, { host, atMs })
    const refs = gone.map((row) => ({ id: row.id, epoch: row.epoch, kind: kindOf(row) }))
    const rows = await lockInstances(tx, refs)
    const going = refs.filter(({ id, epoch }) => {
      const row = rows.get(id)
      return (
        row !== undefined &&
        row.hostId === host.id &&
        row.epoch === epoch &&
        isGone(world, host, row)
      )
    })
    const resourceIds = going.map(({ id }) => id)
    await endOperationsOf(tx, touched, { resourceIds, progress: 'removed', atMs })
    await removeRows(tx, touched, { refs: going, nowMs: atMs, heldBy: host.id })
  })
}
