import type { Selectable } from 'kysely'
import type { WorldTables } from './tables.ts'

/** Rows as the world holds them. */
export type Row<Kind extends keyof WorldTables> = Readonly<Selectable<WorldTables[Kind]>>
export type AccountRow = Row<'account'>
export type ProjectRow = Row<'project'>
export type MemberRow = Row<'member'>
export type TokenRow = Row<'token'>
export type HostRow = Row<'host'>
export type NetworkRow = Row<'network'>
export type SubnetRow = Row<'subnet'>
export type ImageRow = Row<'image'>
export type SetRow = Row<'set'>
export type SetFoundRow = Row<'setFound'>
export type VmRow = Row<'vm'>
export type VmFoundRow = Row<'vmFound'>
/** A set or a VM, where the difference does not matter; `kindOf` tells them apart. */
export type InstanceRow = SetRow | VmRow
export type InstanceKind = 'set' | 'vm'
export type PortRow = Row<'port'>
export type OperationRow = Row<'operation'>
export type BrakeRow = Row<'brake'>
export type AppliedRow = Row<'applied'>
export type ManifestRow = Row<'manifest'>

export function kindOf(row: InstanceRow): InstanceKind {
  return 'containers' in row ? 'set' : 'vm'
}

/** Whether an instance is on its way from its host to another: its host ends it, and it is placed again after that. */
export function isLeaving(row: Pick<InstanceRow, 'leaving'>): boolean {
  // A row of a server that does not know the column is without it.
  return (row.leaving ?? null) !== null
}
