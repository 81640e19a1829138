/**
 * A flow as this package and its users speak of it: plain data, no bytes, no text.
 * `flow-mod.ts` turns it into OpenFlow, `format.ts` into the syntax of ovs-ofctl.
 */

/**
 * Value of a match field or of a constant to load.
 * Text is accepted where a field has a usual text form: '10.0.0.1', '10.0.0.0/24', '0a:00:00:00:00:01',
 * '01:00:00:00:00:00/01:00:00:00:00:00'. `{value, mask}` is the general form of a masked match.
 */
export type FieldValue =
  | number
  | bigint
  | string
  | { readonly value: number | bigint; readonly mask: number | bigint }

/** Names of ovs-fields(7), in camelCase: eth_dst is ethDst, nw_ttl is nwTtl, tun_id is tunId. */
export type FieldName =
  | 'inPort'
  | 'metadata'
  | 'tunId'
  | 'tunSrc'
  | 'tunDst'
  | 'tunFlags'
  | 'ethDst'
  | 'ethSrc'
  | 'ethType'
  | 'vlanTci'
  | 'ipProto'
  | 'ipDscp'
  | 'ipEcn'
  | 'nwTtl'
  | 'ipFrag'
  | 'ipv4Src'
  | 'ipv4Dst'
  | 'tcpSrc'
  | 'tcpDst'
  | 'tcpFlags'
  | 'udpSrc'
  | 'udpDst'
  | 'icmpType'
  | 'icmpCode'
  | 'arpOp'
  | 'arpSpa'
  | 'arpTpa'
  | 'arpSha'
  | 'arpTha'
  | 'ctState'
  | 'ctZone'
  | 'ctMark'
  | `reg${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15}`
  | `xreg${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`

export type Match = { readonly [K in FieldName]?: FieldValue }

/** Bits of a field, inclusive as ovs-ofctl writes them: {field: 'reg0', from: 0, to: 23} is reg0[0..23]. */
export interface Bits {
  readonly field: FieldName
  readonly from: number
  readonly to: number
}

/** Ports of OpenFlow 1.1+ that are not ports (OFPP_*, section 7.2.1 of OpenFlow 1.4). */
export type ReservedPort = 'inPort' | 'table' | 'normal' | 'flood' | 'all' | 'controller' | 'local'

export type Action =
  /** To a port number, a reserved port, or the port number held in a register. */
  | {
      readonly type: 'output'
      readonly port: number | ReservedPort | Bits
      readonly maxLength?: number
    }
  /** OFPAT_SET_FIELD; a masked value changes only those bits. */
  | { readonly type: 'setField'; readonly field: FieldName; readonly value: FieldValue }
  /** NXAST_REG_MOVE / OFPAT_COPY_FIELD: both sides have the same width. */
  | { readonly type: 'move'; readonly from: Bits; readonly to: Bits }
  /** NXAST_REG_LOAD: a constant into bits of a field. */
  | { readonly type: 'load'; readonly value: number | bigint; readonly to: Bits }
  | { readonly type: 'decTtl' }
  /** NXAST_RESUBMIT_TABLE with the packet's own in_port (inPort absent). */
  | { readonly type: 'resubmit'; readonly table: number; readonly inPort?: number }
  /** NXAST_CONTROLLER2: packet-in2 with userdata; `pause` freezes the pipeline until it is resumed. */
  | {
      readonly type: 'controller'
      readonly maxLength?: number
      readonly reason?: number
      readonly userdata?: Uint8Array
      readonly pause?: boolean
    }
  /** OFPIT_GOTO_TABLE: an instruction, not an action; at most one, last. */
  | { readonly type: 'goto'; readonly table: number }

/**
 * One row of a table. Identity is (table, priority, match): two flows with the same identity replace each other.
 * No actions means drop.
 */
export interface Flow {
  readonly table: number
  readonly priority: number
  readonly cookie: bigint
  readonly match: Match
  readonly actions: readonly Action[]
  readonly idleTimeoutSeconds?: number
  readonly hardTimeoutSeconds?: number
  /** Ask the switch to tell when the flow goes (OFPFF_SEND_FLOW_REM). */
  readonly sendFlowRemoved?: boolean
}

/** What a bundle does to the switch, in order. `add` replaces a flow of the same identity. */
export type FlowChange =
  | { readonly type: 'add'; readonly flow: Flow }
  | {
      readonly type: 'deleteStrict'
      readonly table: number
      readonly priority: number
      readonly match: Match
    }
  /** Deletes every flow whose cookie agrees with `cookie` in the bits of `cookieMask`. */
  | {
      readonly type: 'deleteByCookie'
      readonly cookie: bigint
      readonly cookieMask: bigint
      readonly table?: number
    }
