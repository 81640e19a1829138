import type { InstanceRow, SetFoundRow, VmFoundRow } from '../../world/index.ts'

/**
 * Whether an instance may run elsewhere once its host is fenced. One that became `elsewhere` may not before its host has heard
 * of it: until then the host holds it as `local`, so it neither ends it with its lease nor waits with it after a boot,
 * whatever proved that the host had stopped. Pure.
 */
export function mayRunElsewhere(
  row: InstanceRow,
  found: SetFoundRow | VmFoundRow | undefined,
): boolean {
  if (row.recovery !== 'elsewhere') return false
  // A row of a server that does not know the column is without it.
  const localGeneration = row.localGeneration ?? null
  if (localGeneration === null) return true
  return found !== undefined && found.epoch === row.epoch && found.generation > localGeneration
}
