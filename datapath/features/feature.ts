import type { Action, Bits, FieldName, FieldValue, Match } from '@nubo/wire-openflow'
import type { FeatureName } from '../cookies.ts'
import { tableNumber, type Priority, type TableName } from '../pipeline.ts'
import type { PlacedNetwork, PlacedSubnet } from '../placed.ts'
import type { HostTunnel, LocalPort, RemotePort } from '../slice.ts'

/** One row of a table as a feature writes it: names instead of numbers, no cookie. No `actions` means drop. */
export interface Row {
  readonly table: TableName
  readonly priority: Priority
  readonly match: Match
  readonly actions: readonly Action[]
}

/**
 * A feature contributes rows per object. The rows of an object are a function of the arguments given here and of
 * nothing else: that is what makes a change cost only what it touches. A port's rows know its subnet's `vni` and
 * `cidr`; whoever lets them depend on more must say so in `samePlace` (slice-index.ts).
 *
 * How to add one: a file beside this one, a number in cookies.ts, a line in `features` (features/features.ts), its
 * tables in pipeline.ts, a golden test, a section in docs/guides/datapath.md.
 */
export interface Feature {
  readonly name: FeatureName
  /** Rows that are there once per bridge. */
  readonly host?: (tunnel: HostTunnel) => Row[]
  readonly network?: (network: PlacedNetwork, tunnel: HostTunnel) => Row[]
  readonly subnet?: (subnet: PlacedSubnet) => Row[]
  readonly localPort?: (port: LocalPort, subnet: PlacedSubnet) => Row[]
  readonly remotePort?: (port: RemotePort, subnet: PlacedSubnet) => Row[]
}

/** Goes on in another table, which must be a later one. */
export function goto(table: TableName): Action {
  return { type: 'goto', table: tableNumber(table) }
}

export function set(field: FieldName, value: FieldValue): Action {
  return { type: 'setField', field, value }
}

export function move(from: Bits, to: Bits): Action {
  return { type: 'move', from, to }
}

const widthBits = {
  ethSrc: 48,
  ethDst: 48,
  arpSha: 48,
  arpTha: 48,
  arpSpa: 32,
  arpTpa: 32,
  ipv4Src: 32,
  ipv4Dst: 32,
  tunDst: 32,
} as const

/** All bits of a header field, for moves. */
export function whole(field: keyof typeof widthBits): Bits {
  return { field, from: 0, to: widthBits[field] - 1 }
}

/** The low bits of a wider field, for moves between fields of different width. */
export function lowBits(field: 'tunId', bits: number): Bits {
  return { field, from: 0, to: bits - 1 }
}

export const ethernet = { ipv4: 0x0800, arp: 0x0806 } as const
/** A frame without any VLAN tag. OVS looks through tags: without this, rows would match tagged frames too. */
export const untagged = { vlanTci: 0 } as const
