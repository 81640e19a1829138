import { SwitchError, type SwitchInterface } from './switch-driver.ts'

/** Throws `ofport_taken` or `name_taken` if another port of the bridge, or its tunnel, has what is wanted. */
export function checkUnoccupied(
  wanted: SwitchInterface,
  others: Iterable<SwitchInterface>,
  tunnelOfport: number,
): void {
  if (wanted.ofport === tunnelOfport) {
    throw new SwitchError('ofport_taken', `ofport ${wanted.ofport} is the tunnel's`)
  }
  for (const other of others) {
    if (other.portId === wanted.portId) continue
    const details = { portId: wanted.portId, takenBy: other.portId }
    if (other.ofport === wanted.ofport) {
      throw new SwitchError('ofport_taken', `ofport ${wanted.ofport} is taken`, { details })
    }
    if (other.name === wanted.name) {
      throw new SwitchError('name_taken', `device ${wanted.name} is attached already`, { details })
    }
  }
}
