import { PlatformError, type HostId, type InstanceId, type SetId, type VmId } from '@nubo/base'
import { violatedConstraint, withNext } from '@nubo/runtime'
import { sql } from 'kysely'
import {
  columnsOf,
  insertRows,
  type NetworkRow,
  type PortRow,
  type SubnetRow,
  type Touched,
  type Tx,
} from '../../world/index.ts'
import { checkGuestAddress, checkSubnetRange, firstFreeAddress } from './network.ts'

/** A freed address is not given again for this long: caches of peers must forget it first. */
export const ADDRESS_REST_MS = 60_000

const portColumns = columnsOf('port', {
  id: true,
  projectId: true,
  networkId: true,
  subnetId: true,
  name: true,
  mac: true,
  address: true,
  setId: true,
  vmId: true,
  hostId: true,
  interfaceName: true,
  ownedBySet: true,
  createdAtMs: true,
})

export async function insertNetwork(tx: Tx, touched: Touched, row: NetworkRow): Promise<void> {
  await tx.insertInto('network').values(row).execute()
  touched.touch('network', row.id)
  touched.use(row.projectId, { networks: 1 })
}

export async function deleteNetwork(tx: Tx, touched: Touched, row: NetworkRow): Promise<void> {
  const deleted = await tx
    .deleteFrom('network')
    .where('id', '=', row.id)
    .returning('projectId')
    .execute()
  for (const { projectId } of deleted) touched.use(projectId, { networks: -1 })
  touched.touch('network', row.id)
}

/** Locks the network, so that two overlapping subnets cannot both see themselves alone. */
export async function insertSubnet(tx: Tx, touched: Touched, row: SubnetRow): Promise<void> {
  const network = await tx
    .selectFrom('network')
    .selectAll()
    .where('id', '=', row.networkId)
    .forUpdate()
    .executeTakeFirst()
  if (network === undefined)
    throw new PlatformError('NOT_FOUND', { kind: 'network', network: row.networkId })
  const others = await tx
    .selectFrom('subnet')
    .select(['name', 'cidr'])
    .where('networkId', '=', row.networkId)
    .execute()
  checkSubnetRange(row.cidr, { network: network.cidr, others })
  await tx.insertInto('subnet').values(row).execute()
  touched.touch('subnet', row.id)
}

export async function deleteSubnet(tx: Tx, touched: Touched, row: SubnetRow): Promise<void> {
  await tx.deleteFrom('subnet').where('id', '=', row.id).execute()
  touched.touch('subnet', row.id)
}

export interface PortAsked {
  readonly port: Omit<PortRow, 'address'>
  /** Absent: the lowest free one. */
  readonly address: string | undefined
}

/**
 * Gives ports their addresses. The subnet rows are locked, so two callers cannot take the last address both; the unique
 * constraint stands behind it. Whoever takes an address in the same subnet waits for the transaction to end, so this comes
 * last in it where that is possible. A few statements for any number. ADDRESS_TAKEN, ADDRESSES_EXHAUSTED, INVALID_INPUT.
 */
export async function insertPorts(
  tx: Tx,
  made: readonly { touched: Touched; asked: PortAsked }[],
  nowMs: number,
): Promise<PortRow[]> {
  const subnets = await lockSubnets(
    tx,
    made.map(({ asked }) => asked.port.subnetId),
    nowMs,
  )
  const rows = made.map(({ asked: { port, address } }): PortRow => {
    const subnet = subnets.get(port.subnetId)
    if (subnet === undefined)
      throw new PlatformError('NOT_FOUND', { kind: 'subnet', subnet: port.subnetId })
    const given = giveAddress(subnet, address)
    subnet.taken.add(given)
    return { ...port, address: given }
  })
  const [first, ...others] = rows
  if (first !== undefined)
    await sql`${insertRows('port', [first, ...others])} ${withNext}`.execute(tx)
  for (const { touched, asked } of made) {
    touched.touch('port', asked.port.id)
    touched.use(asked.port.projectId, { addresses: 1 })
  }
  return rows
}

interface LockedSubnet extends Pick<SubnetRow, 'name' | 'cidr'> {
  /** Addresses that may not be given. */
  readonly taken: Set<string>
}

function giveAddress({ name, cidr, taken }: LockedSubnet, address: string | undefined): string {
  if (address !== undefined) {
    checkGuestAddress(cidr, address)
    if (!taken.has(address)) return address
    throw new PlatformError(
      'ADDRESS_TAKEN',
      { field: 'address', address, next: 'choose another address, or none to get a free one' },
      {
        message: `${address} is in use, was freed less than ${ADDRESS_REST_MS / 1_000} s ago, or may still be used on a lost host.`,
      },
    )
  }
  const given = firstFreeAddress(cidr, (candidate) => taken.has(candidate))
  if (given !== undefined) return given
  throw new PlatformError(
    'ADDRESSES_EXHAUSTED',
    {
      subnet: name,
      limit: cidr,
      next: `free ports (their addresses rest ${ADDRESS_REST_MS / 1_000} s) or create a larger subnet`,
    },
    { message: `Subnet ${name} (${cidr}) has no free address.` },
  )
}

/** Keeps these subnets to this transaction. */
async function lockSubnets(
  tx: Tx,
  ids: readonly SubnetRow['id'][],
  nowMs: number,
): Promise<ReadonlyMap<SubnetRow['id'], LockedSubnet>> {
  if (ids.length === 0) return new Map()
  const these = sql<SubnetRow['id']>`any(${[...new Set(ids)]}::uuid[])`
  await tx
    .selectFrom('subnet')
    .select('id')
    .where('id', '=', these)
    // One order for all, so that two transactions cannot wait for each other.
    .orderBy('id')
    // Not `for update`: that would also hold up rows that merely refer to the subnet, such as addresses that come to rest.
    .forNoKeyUpdate()
    .modifyEnd(withNext)
    .execute()
  // A statement of its own, or it would see the addresses as they were before the locks were waited for.
  const { rows } = await sql<
    Pick<SubnetRow, 'id' | 'name' | 'cidr'> & { addresses: readonly string[] }
  >`
    select id, name, cidr, array(
      select address from port where subnet_id = s.id
      union all select address from address_rest as r where subnet_id = s.id and ${rests(nowMs)}
    ) as addresses from subnet as s where id = ${these}`.execute(tx)
  return new Map(rows.map((row) => [row.id, { ...row, taken: new Set(row.addresses) }]))
}

/** Whether the address of a row `r` may not be given yet. */
function rests(nowMs: number) {
  return sql<boolean>`(r.until_ms > ${nowMs} or exists (select from host where host.id = r.host_id and host.must_clean))`
}

/**
 * Removes ports and lets their addresses rest. The caller made sure that nothing uses them; or that nothing does before
 * the host `heldBy` is cleaned or forgotten, and until then they rest.
 */
export async function deletePorts(
  tx: Tx,
  touched: Touched,
  change: { ports: readonly PortRow[]; nowMs: number; heldBy?: HostId | undefined },
): Promise<void> {
  const { ports, nowMs, heldBy = null } = change
  if (ports.length === 0) return
  const untilMs = nowMs + ADDRESS_REST_MS
  const subnetIds = [...new Set(ports.map((port) => port.subnetId))]
  // Whatever comes to rest takes away what has rested, so that as much goes as comes.
  await sql`delete from address_rest as r where subnet_id = any(${subnetIds}::uuid[]) and not ${rests(nowMs)} ${withNext}`.execute(
    tx,
  )
  const deleted = await tx
    .deleteFrom('port')
    .where('id', '=', anyOf(ports))
    .returning('projectId')
    .execute()
  for (const { projectId } of deleted) touched.use(projectId, { addresses: -1 })
  await tx
    .insertInto('addressRest')
    .columns(['subnetId', 'address', 'untilMs', 'hostId'])
    .expression(
      sql`select u.subnet_id, u.address, ${untilMs}::bigint, ${heldBy}::uuid
        from unnest(${ports.map((port) => port.subnetId)}::uuid[], ${ports.map((port) => port.address)}::text[])
          as u (subnet_id, address)`,
    )
    .onConflict((conflict) =>
      conflict.columns(['subnetId', 'address']).doUpdateSet({ untilMs, hostId: heldBy }),
    )
    .modifyEnd(withNext)
    .execute()
  for (const { id } of ports) touched.touch('port', id)
}

function anyOf(ports: readonly PortRow[]) {
  return sql<PortRow['id']>`any(${ports.map(({ id }) => id)}::uuid[])`
}

/** Attaches a free port; NOT_ALLOWED_NOW if something else was faster, IN_USE if the interface has a port already. */
export async function bindPort(
  tx: Tx,
  touched: Touched,
  change: {
    port: PortRow
    to: { setId: SetId } | { vmId: VmId } | { hostId: HostId; interfaceName: string }
  },
): Promise<void> {
  if ('hostId' in change.to) await requireFreeInterface(tx, change.port, change.to)
  const updated = await tx
    .updateTable('port')
    .set(change.to)
    .where('id', '=', change.port.id)
    .where('setId', 'is', null)
    .where('vmId', 'is', null)
    .where('hostId', 'is', null)
    .executeTakeFirst()
  if (updated.numUpdatedRows === 0n) {
    throw new PlatformError(
      'NOT_ALLOWED_NOW',
      { port: change.port.name, next: 'use a free port' },
      { message: `Port ${change.port.name} is in use.` },
    )
  }
  touched.touch('port', change.port.id)
}

/** Locks the host, so that two ports cannot both find the interface free. */
async function requireFreeInterface(
  tx: Tx,
  port: PortRow,
  at: { hostId: HostId; interfaceName: string },
): Promise<void> {
  const host = await tx
    .selectFrom('host')
    .select('name')
    .where('id', '=', at.hostId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (host === undefined) throw new PlatformError('NOT_FOUND', { kind: 'host', host: at.hostId })
  const other = await tx
    .selectFrom('port')
    .select('name')
    .where('hostId', '=', at.hostId)
    .where('interfaceName', '=', at.interfaceName)
    .where('id', '!=', port.id)
    .executeTakeFirst()
  if (other === undefined) return
  throw new PlatformError(
    'IN_USE',
    {
      field: 'interfaceName',
      port: other.name,
      next: `unbind the port ${other.name}, or use another interface`,
    },
    { message: `The interface ${at.interfaceName} of host ${host.name} has a port already.` },
  )
}

export async function unbindPorts(
  tx: Tx,
  touched: Touched,
  ports: readonly PortRow[],
): Promise<void> {
  if (ports.length === 0) return
  await tx
    .updateTable('port')
    .set({ setId: null, vmId: null, hostId: null, interfaceName: null })
    .where('id', '=', anyOf(ports))
    .execute()
  for (const { id } of ports) touched.touch('port', id)
}

/** The row as it is now, kept from changing until the transaction ends; undefined if it is gone. */
export async function lockPort(tx: Tx, id: PortRow['id']): Promise<PortRow | undefined> {
  return tx
    .selectFrom('port')
    .select(portColumns)
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst()
}

export async function portsOfInstances(
  tx: Tx,
  refs: readonly { readonly id: InstanceId }[],
): Promise<PortRow[]> {
  const ids = refs.map(({ id }) => id)
  return tx
    .selectFrom('port')
    .select(portColumns)
    .where((port) =>
      port.or([
        port('setId', '=', sql<SetId>`any(${ids}::uuid[])`),
        port('vmId', '=', sql<VmId>`any(${ids}::uuid[])`),
      ]),
    )
    .execute()
}

/** For `.catch`: a row that something refers to becomes IN_USE. */
export function stillInUse(kind: string, name: string): (error: unknown) => never {
  return (error) => {
    if (violatedConstraint(error) === undefined) throw error
    throw new PlatformError(
      'IN_USE',
      { kind, name, next: `remove what is in the ${kind} first` },
      { message: `The ${kind} ${name} is still in use.`, cause: error },
    )
  }
}
