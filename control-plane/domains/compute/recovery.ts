import type { SetFoundRow, SetRow } from '../../world/index.ts'

/**
 * Whether a set may run elsewhere once its host is fenced. A set that became `elsewhere` may not before its host has heard
 * of it: until then the host holds it as `local`, so it neither ends it with its lease nor waits with it after a boot,
 * whatever proved that the host had stopped. Pure.
 */
export function mayRunElsewhere(set: SetRow, found: SetFoundRow | undefined): boolean {
  if (set.recovery !== 'elsewhere') return false
  // A row of a server that does not know the column is without it.
  const localGeneration = set.localGeneration ?? null
  if (localGeneration === null) return true
  return found !== undefined && found.epoch === set.epoch && found.generation > localGeneration
}
