import { formatAction } from './actions.ts'
import { formatFieldValue, formatSignedFlags } from './field-value.ts'
import { allOnes } from './fields.ts'
import type { Action, Flow, Match } from './flow.ts'
import { canonicalMatch, type MatchEntry } from './match.ts'

export interface FormatOptions {
  /** Names to print instead of table numbers. ovs-ofctl takes them only from a switch that has the same names. */
  readonly tableNames?: ReadonlyMap<number, string>
  /** Leave the cookie out, for tests and people to whom it says nothing. */
  readonly omitCookie?: boolean
}

/**
 * A flow in the syntax of ovs-ofctl, fields in the order in which it dumps them:
 * `table=0,priority=100,in_port=1,actions=resubmit(,10)`. `ovs-ofctl -O OpenFlow14 add-flow` takes it as it is.
 * Throws OpenFlowEncodeError for a flow that cannot be expressed.
 */
export function formatFlow(flow: Flow, options: FormatOptions = {}): string {
  const parts: string[] = []
  if (flow.cookie !== 0n && options.omitCookie !== true) {
    parts.push(`cookie=0x${flow.cookie.toString(16)}`)
  }
  parts.push(`table=${tableName(flow.table, options)}`, `priority=${flow.priority}`)
  if (flow.idleTimeoutSeconds) parts.push(`idle_timeout=${flow.idleTimeoutSeconds}`)
  if (flow.hardTimeoutSeconds) parts.push(`hard_timeout=${flow.hardTimeoutSeconds}`)
  if (flow.sendFlowRemoved === true) parts.push('send_flow_rem')
  const match = formatMatch(flow.match)
  if (match !== '') parts.push(match)
  parts.push(`actions=${formatActions(flow.actions, options)}`)
  return parts.join(',')
}

/** Actions in the syntax of ovs-ofctl; none is `drop`. Throws OpenFlowEncodeError. */
export function formatActions(actions: readonly Action[], options: FormatOptions = {}): string {
  if (actions.length === 0) return 'drop'
  return actions
    .map((action) =>
      action.type === 'goto'
        ? `goto_table:${tableName(action.table, options)}`
        : formatAction(action),
    )
    .join(',')
}

function tableName(table: number, { tableNames }: FormatOptions): string {
  return tableNames?.get(table) ?? String(table)
}

/** A match in the syntax of ovs-ofctl, empty for "everything". Throws OpenFlowEncodeError. */
export function formatMatch(match: Match): string {
  const entries = [...canonicalMatch(match)].sort(
    (a, b) => printPosition(a) - printPosition(b) || a.spec.order - b.spec.order,
  )
  const { shorthand, spared } = protocolShorthand(entries)
  const parts: string[] = []
  for (const entry of entries) {
    if (entry.spec.name === shorthand.after) parts.push(shorthand.text)
    if (!spared.has(entry.spec.name)) parts.push(formatEntry(entry))
  }
  return parts.join(',')
}

/** ovs-ofctl prints connection state, protocol, registers, tunnel, port and then the packet from the outside in. */
const printOrder: readonly string[] = [
  'ctState ctZone ctMark ethType ipProto',
  'reg0 reg1 reg2 reg3 reg4 reg5 reg6 reg7 reg8 reg9 reg10 reg11 reg12 reg13 reg14 reg15',
  'tunId tunSrc tunDst tunFlags metadata inPort vlanTci ethSrc ethDst',
  'ipv4Src ipv4Dst arpSpa arpTpa arpOp arpSha arpTha ipDscp ipEcn nwTtl ipFrag',
  'icmpType icmpCode tcpSrc udpSrc tcpDst udpDst tcpFlags',
].flatMap((names) => names.split(' '))
const printPositions = new Map(printOrder.map((name, position) => [name, position]))

function printPosition({ spec }: MatchEntry): number {
  return printPositions.get(spec.name) ?? printOrder.length
}

const ipv4Protocols = new Map([
  [1n, 'icmp'],
  [6n, 'tcp'],
  [17n, 'udp'],
  [132n, 'sctp'],
])
const ipv6Protocols = new Map([
  [58n, 'icmp6'],
  [6n, 'tcp6'],
  [17n, 'udp6'],
  [132n, 'sctp6'],
])
const etherTypes = new Map([
  [0x0800n, 'ip'],
  [0x86ddn, 'ipv6'],
  [0x0806n, 'arp'],
  [0x8035n, 'rarp'],
])

interface Shorthand {
  readonly shorthand: { readonly text: string; readonly after: string }
  /** Fields that the word already says. */
  readonly spared: ReadonlySet<string>
}

/** `tcp` stands for eth_type=0x0800,ip_proto=6, and so on. */
function protocolShorthand(entries: readonly MatchEntry[]): Shorthand {
  const ethType = entries.find(({ spec }) => spec.name === 'ethType')?.value
  const ipProto = entries.find(({ spec }) => spec.name === 'ipProto')?.value
  const family = ethType === undefined ? undefined : etherTypes.get(ethType)
  if (family === undefined) return { shorthand: { text: '', after: '' }, spared: new Set() }
  const protocols = family === 'ip' ? ipv4Protocols : ipv6Protocols
  const isIp = family === 'ip' || family === 'ipv6'
  const word = isIp && ipProto !== undefined ? protocols.get(ipProto) : undefined
  return {
    shorthand: { text: word ?? family, after: 'ethType' },
    spared: new Set(word === undefined ? ['ethType'] : ['ethType', 'ipProto']),
  }
}

function formatEntry(entry: MatchEntry): string {
  const { spec, value } = entry
  switch (spec.name) {
    case 'vlanTci':
      return formatVlan(entry)
    case 'ipDscp':
      // nw_tos is the whole byte: six bits of DSCP above two of ECN.
      return `nw_tos=${value << 2n}`
    case 'ethType':
      return `dl_type=0x${value.toString(16).padStart(4, '0')}`
    default:
      return `${spec.matchName}=${formatMatchValue(entry)}`
  }
}

/** In a match, unlike in an action, ovs-ofctl prints a masked number as two hexadecimal ones and signs tunnel flags. */
function formatMatchValue(entry: MatchEntry): string {
  const { spec, value, mask } = entry
  if (spec.text === 'tunFlags') return formatSignedFlags(spec, entry)
  if (spec.text !== 'decimal' || mask === allOnes(spec)) return formatFieldValue(spec, entry)
  return `0x${value.toString(16)}/0x${mask.toString(16)}`
}

const VLAN_PRESENT = 0x1000n
const VLAN_VID = 0x0fffn
const VLAN_PCP = 0xe000n

function formatVlan({ value, mask }: MatchEntry): string {
  const vid = mask & VLAN_VID
  const pcp = mask & VLAN_PCP
  const wholeVid = vid === 0n || vid === VLAN_VID
  const hasTag = (value & mask & VLAN_PRESENT) !== 0n
  if (hasTag && wholeVid && (vid !== 0n || pcp !== 0n)) {
    const parts: string[] = []
    if (vid !== 0n) parts.push(`dl_vlan=${value & VLAN_VID}`)
    if (pcp !== 0n) parts.push(`dl_vlan_pcp=${value >> 13n}`)
    return parts.join(',')
  }
  const padded = (bits: bigint): string => `0x${bits.toString(16).padStart(4, '0')}`
  return mask === 0xffffn
    ? `vlan_tci=${padded(value)}`
    : `vlan_tci=${padded(value)}/${padded(mask)}`
}
