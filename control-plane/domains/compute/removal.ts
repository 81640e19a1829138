import type { PortRow, SetRow, Touched, Tx } from '../../world/index.ts'
import { deletePort, unbindPort } from '../network/index.ts'
import { deleteSet } from './store.ts'

/** The last step of a removal, once nothing of the set is left on any host: its port goes or becomes free, then the row. */
export async function removeSetRows(
  tx: Tx,
  touched: Touched,
  change: { set: SetRow; ports: readonly PortRow[]; nowMs: number },
): Promise<void> {
  for (const port of change.ports) {
    if (port.ownedBySet) await deletePort(tx, touched, { port, nowMs: change.nowMs })
    else await unbindPort(tx, touched, port)
  }
  await deleteSet(tx, touched, change.set.id)
}
