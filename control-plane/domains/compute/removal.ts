import type { HostId, SetId } from '@nubo/base'
import type { Touched, Tx } from '../../world/index.ts'
import { deletePorts, portsOfSets, unbindPorts } from '../network/index.ts'
import { deleteSets } from './store.ts'

/**
 * The last step of removals, once nothing of the sets is left on any host: ports go or become free, then the rows. Where
 * the disk of a lost host may still start them, their addresses are held by it.
 */
export async function removeSetRows(
  tx: Tx,
  touched: Touched,
  change: { setIds: readonly SetId[]; nowMs: number; heldBy?: HostId | undefined },
): Promise<void> {
  const { setIds, nowMs, heldBy } = change
  if (setIds.length === 0) return
  const ports = await portsOfSets(tx, setIds)
  await deletePorts(tx, touched, { ports: ports.filter((port) => port.ownedBySet), nowMs, heldBy })
  await unbindPorts(
    tx,
    touched,
    ports.filter((port) => !port.ownedBySet),
  )
  await deleteSets(tx, touched, setIds)
}
