import { kindOf, type InstanceRow, type SetFoundRow, type VmFoundRow } from './rows.ts'
import type { WorldReader } from './world.ts'

/** Sets and VMs where the difference does not matter: both are placed, moved, found and removed in the same way. */

type InstanceIndex = 'host' | 'image' | 'unplaced' | 'leaving'

export function instanceOf(
  world: Pick<WorldReader, 'set' | 'vm'>,
  id: string | null | undefined,
): InstanceRow | undefined {
  return world.set.get(id) ?? world.vm.get(id)
}

/** Sets first, each kind in order of ids. */
export function instancesBy(
  world: Pick<WorldReader, 'set' | 'vm'>,
  index: InstanceIndex,
  key: string | null,
): InstanceRow[] {
  const vms = world.vm.by(index, key)
  const sets = world.set.by(index, key)
  return vms.length === 0 ? sets : [...sets, ...vms]
}

/** What its host said last of it. */
export function foundOf(
  world: Pick<WorldReader, 'setFound' | 'vmFound'>,
  row: InstanceRow,
): SetFoundRow | VmFoundRow | undefined {
  return kindOf(row) === 'set' ? world.setFound.get(row.id) : world.vmFound.get(row.id)
}
