import type { HostId } from '@nubo/base'
import type { Touched, Tx } from '../../world/index.ts'
import { deletePorts, portsOfInstances, unbindPorts } from '../network/index.ts'
import { deleteInstances, type InstanceRef } from './store.ts'

/**
 * The last step of removals, once nothing of the instances is left on any host: ports go or become free, then the rows.
 * Where the disk of a lost host may still start them, their addresses are held by it.
 */
export async function removeRows(
  tx: Tx,
  touched: Touched,
  change: { refs: readonly InstanceRef[]; nowMs: number; heldBy?: HostId | undefined },
): Promise<void> {
  const { refs, nowMs, heldBy } = change
  if (refs.length === 0) return
  const ports = await portsOfInstances(tx, refs)
  await deletePorts(tx, touched, { ports: ports.filter((port) => port.ownedBySet), nowMs, heldBy })
  await unbindPorts(
    tx,
    touched,
    ports.filter((port) => !port.ownedBySet),
  )
  await deleteInstances(tx, touched, refs)
}
