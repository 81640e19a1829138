import type { Clock } from '@nubo/base'
import type { HostRow, Recorder, SetRow, Touched, Tx, World } from '../../../world/index.ts'
import { lockHost } from '../../fleet/index.ts'
import { endOperationsOf } from '../../operations/index.ts'
import { mayRunElsewhere } from '../recovery.ts'
import { removeSetRows } from '../removal.ts'
import { lockSets, releaseSets } from '../store.ts'

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
  await releaseSets(tx, touched, {
    host,
    atMs,
    reason: { code: 'HOST_FENCED', text: `its host ${host.name} was fenced` },
  })
}

/**
 * What is left to do on fenced hosts: sets that the fencing left out by mistake are released, and sets that are to be
 * removed are gone, since nothing of them runs. Where only leases have ended, `local` sets may still run on a host that is
 * cut off; they wait for the host or for an operator's word. A host that boots starts its `local` sets before it hears that
 * they were removed, so it holds their addresses until it is clean; sets with ports of their own wait for it.
 */
export async function evacuateFenced(deps: EvacuateDeps): Promise<void> {
  const { world } = deps
  for (const host of world.host.by('lost', 'yes')) {
    if (host.state !== 'fenced') continue
    const sets = world.set.by('host', host.id)
    const isLate = sets.some((set) => isElsewhere(world, set) && set.wanted !== 'removed')
    const gone = sets
      .filter((set) => isGone(world, host, set) && !mayMeetTwin(world, set))
      .slice(0, BATCH_MAX)
    if (isLate || gone.length > 0) await evacuate(deps, { host, gone })
  }
}

function isElsewhere(world: World, set: SetRow): boolean {
  return mayRunElsewhere(set, world.setFound.get(set.id))
}

function isGone(world: World, host: HostRow, set: SetRow): boolean {
  return set.wanted === 'removed' && (isElsewhere(world, set) || host.fence?.by !== 'lease')
}

/** A port that outlives its set can be given to another, which would then have the address of what the host may start. */
function mayMeetTwin(world: World, set: SetRow): boolean {
  return !isElsewhere(world, set) && world.port.by('set', set.id).some((port) => !port.ownedBySet)
}

async function evacuate(
  { world, recorder, clock }: EvacuateDeps,
  { host: seen, gone }: { host: HostRow; gone: readonly SetRow[] },
): Promise<void> {
  const atMs = clock.nowMs()
  await recorder.write(async (tx, touched) => {
    const host = await lockHost(tx, seen.id)
    // It is back: it says itself what runs there.
    if (host?.state !== 'fenced') return
    await releaseFrom(tx, touched, { host, atMs })
    const rows = await lockSets(
      tx,
      gone.map((set) => set.id),
    )
    const setIds = gone
      .filter(({ id, epoch }) => {
        const row = rows.get(id)
        return (
          row !== undefined &&
          row.hostId === host.id &&
          row.epoch === epoch &&
          isGone(world, host, row)
        )
      })
      .map(({ id }) => id)
    await endOperationsOf(tx, touched, { resourceIds: setIds, progress: 'removed', atMs })
    await removeSetRows(tx, touched, { setIds, nowMs: atMs, heldBy: host.id })
  })
}
