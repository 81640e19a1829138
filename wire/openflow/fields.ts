import type { FieldName } from './flow.ts'

/**
 * Every field of this package. The order of the table is the order in which Open vSwitch writes a match, which puts
 * prerequisites (eth_type, ip_proto) in front of what needs them; a switch refuses any other order.
 *
 * To add a field: one row here, its name in flow.ts, and a line in the fixture of golden.test.ts.
 * Sources: section 7.2.3 of OpenFlow 1.4 and 1.5, ovs-fields(7).
 */

/** The number on the wire that says which field follows: a class and a field of it. */
export interface Oxm {
  readonly class: number
  readonly field: number
  /** Set for class 0xffff only. */
  readonly experimenter?: number
}

/** How the value is written in text, by people and by ovs-ofctl. */
export type TextForm =
  | 'decimal'
  | 'hex'
  | 'ipv4'
  | 'mac'
  | 'port'
  | 'frag'
  | 'ctState'
  | 'tcpFlags'
  | 'tunFlags'

/** What else a match must say before it may say this field. */
export type Prerequisite = 'none' | 'ip' | 'ipv4' | 'arp' | 'tcp' | 'udp' | 'icmp'

export interface FieldSpec {
  readonly name: FieldName
  /** Bits that mean something; the payload on the wire is `bytes` long. */
  readonly bits: number
  readonly bytes: number
  /** Bits that the switch counts: more than `bits` where some of them have no meaning yet. */
  readonly declaredBits: number
  /** Name in set_field and in most text, e.g. eth_dst. */
  readonly ofctlName: string
  /** Name that ovs-ofctl prints in a match, e.g. dl_dst. */
  readonly matchName: string
  /** Name in load, move and output:field[..], e.g. NXM_OF_ETH_DST. */
  readonly subfieldName: string
  readonly text: TextForm
  readonly maskable: boolean
  readonly writable: boolean
  /** The bits beyond ours are the switch's own, so a match goes out with a mask even if all of ours are wanted. */
  readonly alwaysMasked: boolean
  readonly needs: Prerequisite
  /** What OpenFlow 1.4 and 1.5 call it; Nicira's own actions prefer `nxm` where there is one. */
  readonly oxm14: Oxm
  readonly oxm15: Oxm
  readonly nxm: Oxm
  /** Position in the table, which is the order in a match. */
  readonly order: number
  /** Bits that the field can hold, as a mask of all ones. */
  readonly ones: bigint
}

const CLASS_NXM0 = 0x0000
const CLASS_NXM1 = 0x0001
const CLASS_OPENFLOW = 0x8000
const CLASS_PACKET_REGISTERS = 0x8001
const CLASS_EXPERIMENTER = 0xffff
const EXPERIMENTER_ONF = 0x4f4e4600

const nxm0 = (field: number): Oxm => ({ class: CLASS_NXM0, field })
const nxm1 = (field: number): Oxm => ({ class: CLASS_NXM1, field })
const openflow = (field: number): Oxm => ({ class: CLASS_OPENFLOW, field })

interface Row {
  readonly bits: number
  readonly bytes?: number
  readonly declaredBits?: number
  readonly ofctlName: string
  readonly matchName?: string
  readonly subfieldName: string
  readonly text: TextForm
  readonly maskable?: boolean
  readonly writable?: boolean
  readonly alwaysMasked?: boolean
  readonly needs?: Prerequisite
  readonly oxm?: Oxm
  readonly oxm14?: Oxm
  readonly nxm?: Oxm
}

function register(index: number): Row {
  return {
    bits: 32,
    ofctlName: `reg${index}`,
    subfieldName: `NXM_NX_REG${index}`,
    text: 'hex',
    nxm: nxm1(index),
  }
}

/** Two registers as one: xreg0 is reg0 (upper half) and reg1 (lower half). */
function extendedRegister(index: number): Row {
  return {
    bits: 64,
    ofctlName: `xreg${index}`,
    subfieldName: `OXM_OF_PKT_REG${index}`,
    text: 'hex',
    oxm: { class: CLASS_PACKET_REGISTERS, field: index },
  }
}

// prettier-ignore
const rows: { readonly [K in FieldName]: Row } = {
  inPort: { bits: 32, ofctlName: 'in_port', subfieldName: 'NXM_OF_IN_PORT', text: 'port', maskable: false, oxm: openflow(0) },
  ethSrc: { bits: 48, ofctlName: 'eth_src', matchName: 'dl_src', subfieldName: 'NXM_OF_ETH_SRC', text: 'mac', oxm: openflow(4), nxm: nxm0(2) },
  ethDst: { bits: 48, ofctlName: 'eth_dst', matchName: 'dl_dst', subfieldName: 'NXM_OF_ETH_DST', text: 'mac', oxm: openflow(3), nxm: nxm0(1) },
  ethType: { bits: 16, ofctlName: 'eth_type', matchName: 'dl_type', subfieldName: 'NXM_OF_ETH_TYPE', text: 'hex', maskable: false, writable: false, oxm: openflow(5), nxm: nxm0(3) },
  vlanTci: { bits: 16, ofctlName: 'vlan_tci', subfieldName: 'NXM_OF_VLAN_TCI', text: 'hex', nxm: nxm0(4) },
  ipv4Src: { bits: 32, ofctlName: 'ip_src', matchName: 'nw_src', subfieldName: 'NXM_OF_IP_SRC', text: 'ipv4', needs: 'ipv4', oxm: openflow(11), nxm: nxm0(7) },
  ipv4Dst: { bits: 32, ofctlName: 'ip_dst', matchName: 'nw_dst', subfieldName: 'NXM_OF_IP_DST', text: 'ipv4', needs: 'ipv4', oxm: openflow(12), nxm: nxm0(8) },
  ipFrag: { bits: 2, ofctlName: 'ip_frag', matchName: 'nw_frag', subfieldName: 'NXM_NX_IP_FRAG', text: 'frag', writable: false, needs: 'ip', nxm: nxm1(26) },
  ipDscp: { bits: 6, ofctlName: 'ip_dscp', matchName: 'nw_tos', subfieldName: 'OXM_OF_IP_DSCP', text: 'decimal', maskable: false, needs: 'ip', oxm: openflow(8) },
  ipEcn: { bits: 2, ofctlName: 'nw_ecn', subfieldName: 'NXM_NX_IP_ECN', text: 'decimal', maskable: false, needs: 'ip', oxm: openflow(9), nxm: nxm1(28) },
  nwTtl: { bits: 8, ofctlName: 'nw_ttl', subfieldName: 'NXM_NX_IP_TTL', text: 'decimal', maskable: false, needs: 'ip', nxm: nxm1(29) },
  ipProto: { bits: 8, ofctlName: 'nw_proto', subfieldName: 'NXM_OF_IP_PROTO', text: 'decimal', maskable: false, writable: false, needs: 'ip', oxm: openflow(10), nxm: nxm0(6) },
  tcpSrc: { bits: 16, ofctlName: 'tcp_src', matchName: 'tp_src', subfieldName: 'NXM_OF_TCP_SRC', text: 'decimal', needs: 'tcp', oxm: openflow(13), nxm: nxm0(9) },
  tcpDst: { bits: 16, ofctlName: 'tcp_dst', matchName: 'tp_dst', subfieldName: 'NXM_OF_TCP_DST', text: 'decimal', needs: 'tcp', oxm: openflow(14), nxm: nxm0(10) },
  tcpFlags: { bits: 12, bytes: 2, ofctlName: 'tcp_flags', subfieldName: 'NXM_NX_TCP_FLAGS', text: 'tcpFlags', writable: false, needs: 'tcp',
    oxm14: { class: CLASS_EXPERIMENTER, field: 42, experimenter: EXPERIMENTER_ONF }, oxm: openflow(42), nxm: nxm1(34) },
  udpSrc: { bits: 16, ofctlName: 'udp_src', matchName: 'tp_src', subfieldName: 'NXM_OF_UDP_SRC', text: 'decimal', needs: 'udp', oxm: openflow(15), nxm: nxm0(11) },
  udpDst: { bits: 16, ofctlName: 'udp_dst', matchName: 'tp_dst', subfieldName: 'NXM_OF_UDP_DST', text: 'decimal', needs: 'udp', oxm: openflow(16), nxm: nxm0(12) },
  icmpType: { bits: 8, ofctlName: 'icmp_type', subfieldName: 'NXM_OF_ICMP_TYPE', text: 'decimal', maskable: false, needs: 'icmp', oxm: openflow(19), nxm: nxm0(13) },
  icmpCode: { bits: 8, ofctlName: 'icmp_code', subfieldName: 'NXM_OF_ICMP_CODE', text: 'decimal', maskable: false, needs: 'icmp', oxm: openflow(20), nxm: nxm0(14) },
  arpOp: { bits: 16, ofctlName: 'arp_op', subfieldName: 'NXM_OF_ARP_OP', text: 'decimal', maskable: false, needs: 'arp', oxm: openflow(21), nxm: nxm0(15) },
  arpSpa: { bits: 32, ofctlName: 'arp_spa', subfieldName: 'NXM_OF_ARP_SPA', text: 'ipv4', needs: 'arp', oxm: openflow(22), nxm: nxm0(16) },
  arpTpa: { bits: 32, ofctlName: 'arp_tpa', subfieldName: 'NXM_OF_ARP_TPA', text: 'ipv4', needs: 'arp', oxm: openflow(23), nxm: nxm0(17) },
  arpSha: { bits: 48, ofctlName: 'arp_sha', subfieldName: 'NXM_NX_ARP_SHA', text: 'mac', needs: 'arp', oxm: openflow(24), nxm: nxm1(17) },
  arpTha: { bits: 48, ofctlName: 'arp_tha', subfieldName: 'NXM_NX_ARP_THA', text: 'mac', needs: 'arp', oxm: openflow(25), nxm: nxm1(18) },
  tunId: { bits: 64, ofctlName: 'tun_id', subfieldName: 'NXM_NX_TUN_ID', text: 'hex', oxm: openflow(38), nxm: nxm1(16) },
  tunFlags: { bits: 1, bytes: 2, ofctlName: 'tun_flags', subfieldName: 'NXM_NX_TUN_FLAGS', text: 'tunFlags', alwaysMasked: true, nxm: nxm1(104) },
  tunSrc: { bits: 32, ofctlName: 'tun_src', subfieldName: 'NXM_NX_TUN_IPV4_SRC', text: 'ipv4', nxm: nxm1(31) },
  tunDst: { bits: 32, ofctlName: 'tun_dst', subfieldName: 'NXM_NX_TUN_IPV4_DST', text: 'ipv4', nxm: nxm1(32) },
  reg0: register(0), reg1: register(1), reg2: register(2), reg3: register(3),
  reg4: register(4), reg5: register(5), reg6: register(6), reg7: register(7),
  reg8: register(8), reg9: register(9), reg10: register(10), reg11: register(11),
  reg12: register(12), reg13: register(13), reg14: register(14), reg15: register(15),
  xreg0: extendedRegister(0), xreg1: extendedRegister(1), xreg2: extendedRegister(2), xreg3: extendedRegister(3),
  xreg4: extendedRegister(4), xreg5: extendedRegister(5), xreg6: extendedRegister(6), xreg7: extendedRegister(7),
  ctState: { bits: 8, bytes: 4, declaredBits: 32, ofctlName: 'ct_state', subfieldName: 'NXM_NX_CT_STATE', text: 'ctState', alwaysMasked: true, writable: false, nxm: nxm1(105) },
  ctZone: { bits: 16, ofctlName: 'ct_zone', subfieldName: 'NXM_NX_CT_ZONE', text: 'decimal', maskable: false, writable: false, nxm: nxm1(106) },
  ctMark: { bits: 32, ofctlName: 'ct_mark', subfieldName: 'NXM_NX_CT_MARK', text: 'hex', nxm: nxm1(107) },
  metadata: { bits: 64, ofctlName: 'metadata', subfieldName: 'OXM_OF_METADATA', text: 'hex', oxm: openflow(2) },
}

function completed(name: FieldName, row: Row, order: number): FieldSpec {
  const first = row.nxm ?? row.oxm
  const last = row.oxm ?? row.nxm
  if (first === undefined || last === undefined) throw new TypeError(`field ${name} has no number`)
  return {
    name,
    bits: row.bits,
    bytes: row.bytes ?? Math.ceil(row.bits / 8),
    declaredBits: row.declaredBits ?? row.bits,
    ofctlName: row.ofctlName,
    matchName: row.matchName ?? row.ofctlName,
    subfieldName: row.subfieldName,
    text: row.text,
    maskable: row.maskable ?? true,
    writable: row.writable ?? true,
    alwaysMasked: row.alwaysMasked ?? false,
    needs: row.needs ?? 'none',
    oxm14: row.oxm14 ?? last,
    oxm15: last,
    nxm: first,
    order,
    ones: (1n << BigInt(row.bits)) - 1n,
  }
}

const specs = new Map<string, FieldSpec>()
for (const [index, [name, row]] of Object.entries(rows).entries()) {
  // Object.entries of a literal of that mapped type yields its keys and nothing else.
  const field = name as FieldName
  specs.set(field, completed(field, row, index))
}

/** All fields in the order of a match. */
export const FIELDS: readonly FieldSpec[] = [...specs.values()]

/**
 * As an operand of an action in_port is Nicira's 16-bit field: OpenFlow forbids setting the 32-bit one, and
 * Open vSwitch has 16-bit ports inside.
 */
const inPortOperand: FieldSpec = completed(
  'inPort',
  { ...rows.inPort, bits: 16, oxm: nxm0(0), nxm: nxm0(0) },
  0,
)

/** The field of that name in a match; undefined for a name that is none. */
export function fieldSpec(name: string): FieldSpec | undefined {
  return specs.get(name)
}

/** The field of that name as an operand of an action; undefined for a name that is none. */
export function operandSpec(name: string): FieldSpec | undefined {
  return name === 'inPort' ? inPortOperand : specs.get(name)
}

function oxmKey(oxm: Oxm): number {
  // 32 bits of class and field; an experimenter adds 2^32 so that its numbers never meet the others. Only ONF's is known.
  const base = oxm.class * 0x1_0000 + oxm.field
  return oxm.experimenter === undefined ? base : base + 2 ** 32
}

const byNumber = new Map<number, FieldSpec>()
for (const spec of FIELDS) {
  if (spec.name !== 'vlanTci' && spec.name !== 'inPort') {
    byNumber.set(oxmKey(spec.oxm14), spec)
    byNumber.set(oxmKey(spec.oxm15), spec)
  }
  byNumber.set(oxmKey(spec.nxm), spec)
}
const operandsByNumber = new Map(byNumber)
operandsByNumber.delete(oxmKey(openflow(0)))
operandsByNumber.set(oxmKey(nxm0(0)), inPortOperand)

function known(oxm: Oxm): boolean {
  return oxm.experimenter === undefined || oxm.experimenter === EXPERIMENTER_ONF
}

/** The field behind a number in a match. */
export function fieldByOxm(oxm: Oxm): FieldSpec | undefined {
  return known(oxm) ? byNumber.get(oxmKey(oxm)) : undefined
}

/** The field behind a number in an action. */
export function operandByOxm(oxm: Oxm): FieldSpec | undefined {
  return known(oxm) ? operandsByNumber.get(oxmKey(oxm)) : undefined
}

/** Bits that a field can hold, as a mask of all ones. */
export function allOnes(spec: FieldSpec): bigint {
  return spec.ones
}
