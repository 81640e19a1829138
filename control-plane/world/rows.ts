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
export type PortRow = Row<'port'>
export type OperationRow = Row<'operation'>
export type BrakeRow = Row<'brake'>
export type AppliedRow = Row<'applied'>
export type ManifestRow = Row<'manifest'>

/** Whether a set is on its way from its host to another: its host ends it, and it is placed again after that. */
export function isLeaving(set: Pick<SetRow, 'leaving'>): boolean {
  // A row of a server that does not know the column is without it.
  return (set.leaving ?? null) !== null
}
