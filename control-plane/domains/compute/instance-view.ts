import type { SetView } from '@nubo/contracts'
import type { InstanceRow, WorldReader } from '../../world/index.ts'

/** What views of sets and of VMs have in common. */

type Attachments = Pick<SetView, 'network' | 'subnet' | 'address' | 'ports'>

/** Its ports, and where the first of them is. */
export function attachmentsOf(world: WorldReader, row: InstanceRow): Attachments {
  const ports = world.port
    .by('instance', row.id)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((port) => ({
      id: port.id,
      name: port.name,
      address: port.address,
      mac: port.mac,
      network: world.network.get(port.networkId)?.name ?? '',
      subnet: world.subnet.get(port.subnetId)?.name ?? '',
    }))
  const [first] = ports
  return {
    network: first?.network ?? '',
    subnet: first?.subnet ?? '',
    address: first?.address ?? '0.0.0.0',
    ports,
  }
}

/** Why it is where it is. */
export function placementView({ placement, placementRule }: InstanceRow): SetView['placement'] {
  if (placement === null) return null
  return {
    score: placement.score,
    spread: placementRule.spread,
    antiAffinity: placementRule.antiAffinity ?? null,
    decidedAtMs: placement.decidedAtMs,
    rejected: [...placement.rejected],
    counts: [...(placement.counts ?? [])],
  }
}
