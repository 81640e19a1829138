import { writeBundleAdd, writeBundleControl } from '../bundle.ts'
import type { ByteWriter } from '../bytes.ts'
import type { RequestHeader } from '../channel.ts'
import { writeFlowRequest } from '../flow-stats.ts'
import type { Action, FieldName, FieldValue, FlowChange, Match } from '../flow.ts'
import { writePacketOut } from '../packet-out.ts'
import { writePortDescriptionRequest, writePortStatsRequest } from '../port-messages.ts'
import { PORT_ANY } from '../ports.ts'

/** The same thing said twice: in the syntax of ovs-ofctl, written by hand, and in ours. */
export interface GoldenCase {
  readonly text: string
  readonly change: FlowChange
}

function matching(text: string, match: Match): GoldenCase {
  return {
    text: `table=3,priority=7,${text} actions=drop`,
    change: { type: 'add', flow: { table: 3, priority: 7, cookie: 0n, match, actions: [] } },
  }
}

function acting(
  text: string,
  actions: readonly Action[],
  match: Match = {},
  matchText = '',
): GoldenCase {
  return {
    text: `table=3,priority=7,${matchText} actions=${text}`,
    change: { type: 'add', flow: { table: 3, priority: 7, cookie: 0n, match, actions } },
  }
}

const ip: Match = { ethType: 0x0800 }
const tcp: Match = { ethType: 0x0800, ipProto: 6 }
const udp: Match = { ethType: 0x0800, ipProto: 17 }
const icmp: Match = { ethType: 0x0800, ipProto: 1 }
const arp: Match = { ethType: 0x0806 }

const matches: readonly GoldenCase[] = [
  matching('', {}),
  matching('in_port=1', { inPort: 1 }),
  matching('in_port=LOCAL', { inPort: 'local' }),
  matching('metadata=0x1122334455667788', { metadata: 0x1122334455667788n }),
  matching('metadata=0x5/0xff', { metadata: { value: 5, mask: 0xff } }),
  matching('tun_id=0x1388', { tunId: 5000 }),
  matching('tun_id=0x5/0xffffffffffffff0f', { tunId: '0x5/0xffffffffffffff0f' }),
  matching('tun_src=10.0.0.1', { tunSrc: '10.0.0.1' }),
  matching('tun_src=10.0.0.0/8', { tunSrc: '10.0.0.0/8' }),
  matching('tun_dst=192.168.1.255', { tunDst: '192.168.1.255' }),
  matching('tun_dst=0.0.0.1/0.0.0.255', { tunDst: '0.0.0.1/0.0.0.255' }),
  matching('tun_flags=+oam', { tunFlags: '+oam' }),
  matching('tun_flags=-oam', { tunFlags: 0 }),
  matching('dl_dst=0a:00:00:00:00:01', { ethDst: '0a:00:00:00:00:01' }),
  matching('dl_dst=01:00:00:00:00:00/01:00:00:00:00:00', {
    ethDst: '01:00:00:00:00:00/01:00:00:00:00:00',
  }),
  matching('dl_src=0a:00:00:00:00:02', { ethSrc: 0x0a0000000002 }),
  matching('dl_type=0x88cc', { ethType: 0x88cc }),
  matching('vlan_tci=0x0000/0x1fff', { vlanTci: 0 }),
  matching('dl_vlan=5', { vlanTci: { value: 0x1005, mask: 0x1fff } }),
  matching('dl_vlan=5,dl_vlan_pcp=3', { vlanTci: 0x7005 }),
  matching('vlan_tci=0x1000/0x1000', { vlanTci: { value: 0x1000, mask: 0x1000 } }),
  matching('ip', ip),
  matching('ipv6', { ethType: 0x86dd }),
  matching('ip,nw_proto=112', { ...ip, ipProto: 112 }),
  matching('ip,ip_dscp=10', { ...ip, ipDscp: 10 }),
  matching('ip,nw_ecn=1', { ...ip, ipEcn: 1 }),
  matching('ip,nw_ttl=1', { ...ip, nwTtl: 1 }),
  matching('ip,nw_frag=no', { ...ip, ipFrag: 'no' }),
  matching('ip,nw_frag=yes', { ...ip, ipFrag: 'yes' }),
  matching('ip,nw_frag=later', { ...ip, ipFrag: 'later' }),
  matching('ip,nw_frag=not_later', { ...ip, ipFrag: 'not_later' }),
  matching('ip,nw_src=10.0.0.1', { ...ip, ipv4Src: '10.0.0.1' }),
  matching('ip,nw_dst=10.0.0.0/24', { ...ip, ipv4Dst: '10.0.0.0/24' }),
  matching('ip,nw_dst=10.0.0.1/255.0.0.255', { ...ip, ipv4Dst: '10.0.0.1/255.0.0.255' }),
  matching('tcp,tp_src=80', { ...tcp, tcpSrc: 80 }),
  matching('tcp,tp_dst=0x50/0xfff0', { ...tcp, tcpDst: { value: 0x50, mask: 0xfff0 } }),
  matching('tcp,tcp_flags=+syn-ack', { ...tcp, tcpFlags: '+syn-ack' }),
  matching('tcp,tcp_flags=syn|ack', { ...tcp, tcpFlags: 'syn|ack' }),
  matching('udp,tp_src=67', { ...udp, udpSrc: 67 }),
  matching('udp,tp_dst=68', { ...udp, udpDst: 68 }),
  matching('tcp6,tp_dst=443', { ethType: 0x86dd, ipProto: 6, tcpDst: 443 }),
  matching('icmp,icmp_type=8', { ...icmp, icmpType: 8 }),
  matching('icmp,icmp_type=8,icmp_code=0', { ...icmp, icmpType: 8, icmpCode: 0 }),
  matching('arp,arp_op=1', { ...arp, arpOp: 1 }),
  matching('arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/24', {
    ...arp,
    arpSpa: '10.0.0.1',
    arpTpa: '10.0.0.0/24',
  }),
  matching('arp,arp_sha=0a:00:00:00:00:01', { ...arp, arpSha: '0a:00:00:00:00:01' }),
  matching('arp,arp_tha=00:00:00:00:00:00/01:00:00:00:00:00', {
    ...arp,
    arpTha: '00:00:00:00:00:00/01:00:00:00:00:00',
  }),
  matching('ct_state=+trk-new', { ctState: '+trk-new' }),
  matching('ct_state=trk|est', { ctState: 'trk|est' }),
  matching('ct_zone=10', { ctZone: 10 }),
  matching('ct_mark=0x7', { ctMark: 7 }),
  matching('ct_mark=0x4/0xff', { ctMark: '0x4/0xff' }),
  ...[0, 1, 7, 15].map((index) => matching(`reg${index}=0x5`, register(`reg${index}`, 5))),
  matching('reg0=0x1,reg1=0x2/0xf,reg2=0x3', { reg0: 1, reg1: { value: 2, mask: 0xf }, reg2: 3 }),
  matching('xreg4=0x500000006', { xreg4: 0x500000006n }),
  matching('reg8=0,reg9=0x5', { xreg4: 5n }),
  matching(
    'ct_state=+trk-new,tcp,reg0=0x1,tun_id=0x5,metadata=0x9,in_port=4,dl_src=0a:00:00:00:00:01,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=not_later,nw_ttl=64,tp_src=1,tp_dst=2,tcp_flags=+syn',
    {
      ...tcp,
      ctState: '+trk-new',
      reg0: 1,
      tunId: 5,
      metadata: 9n,
      inPort: 4,
      ethSrc: '0a:00:00:00:00:01',
      ipv4Src: '10.0.0.1',
      ipv4Dst: '10.0.0.2',
      ipFrag: 'not_later',
      nwTtl: 64,
      tcpSrc: 1,
      tcpDst: 2,
      tcpFlags: '+syn',
    },
  ),
]

function register(name: string, value: FieldValue): Match {
  // The callers above name registers that exist.
  return { [name as FieldName]: value }
}

function whole(field: FieldName, bits: number): { field: FieldName; from: number; to: number } {
  return { field, from: 0, to: bits - 1 }
}

function setting(
  text: string,
  field: FieldName,
  value: FieldValue,
  match: Match = {},
  matchText = '',
): GoldenCase {
  return acting(`set_field:${text}`, [{ type: 'setField', field, value }], match, matchText)
}

const outputs: readonly GoldenCase[] = [
  acting('output:1', [{ type: 'output', port: 1 }]),
  acting('output:65279', [{ type: 'output', port: 65_279 }]),
  acting('LOCAL', [{ type: 'output', port: 'local' }]),
  acting('IN_PORT', [{ type: 'output', port: 'inPort' }]),
  acting('NORMAL', [{ type: 'output', port: 'normal' }]),
  acting('FLOOD', [{ type: 'output', port: 'flood' }]),
  acting('ALL', [{ type: 'output', port: 'all' }]),
  acting('TABLE', [{ type: 'output', port: 'table' }]),
  acting('CONTROLLER:65535', [{ type: 'output', port: 'controller' }]),
  acting('CONTROLLER:128', [{ type: 'output', port: 'controller', maxLength: 128 }]),
  acting('output:NXM_NX_REG3[0..15]', [
    { type: 'output', port: { field: 'reg3', from: 0, to: 15 } },
  ]),
  acting('output:OXM_OF_PKT_REG1[32..63]', [
    { type: 'output', port: { field: 'xreg1', from: 32, to: 63 } },
  ]),
  acting('controller(max_len=77,reason=no_match)', [
    { type: 'controller', maxLength: 77, reason: 0 },
  ]),
  acting('controller', [{ type: 'controller' }]),
  acting('controller(max_len=77)', [{ type: 'controller', maxLength: 77 }]),
  acting('controller(userdata=01.02.03)', [
    { type: 'controller', userdata: Uint8Array.of(1, 2, 3) },
  ]),
  acting('controller(reason=invalid_ttl,max_len=99,userdata=01.02.03.04.05,pause)', [
    {
      type: 'controller',
      maxLength: 99,
      reason: 2,
      pause: true,
      userdata: Uint8Array.of(1, 2, 3, 4, 5),
    },
  ]),
  acting('controller(pause)', [{ type: 'controller', pause: true }]),
]

const changes: readonly GoldenCase[] = [
  setting('0x1388->reg0', 'reg0', 5000),
  setting('0x5->xreg1', 'xreg1', 5n),
  setting('0x0/0xf0->reg4', 'reg4', { value: 0, mask: 0xf0 }),
  setting('0x10f/0xf0f->reg5', 'reg5', { value: 0x10f, mask: 0xf0f }),
  setting('0x123->metadata', 'metadata', 0x123n),
  setting('5000->tun_id', 'tunId', 5000),
  setting('1.2.3.4->tun_dst', 'tunDst', '1.2.3.4'),
  setting('1.2.3.4->tun_src', 'tunSrc', '1.2.3.4'),
  setting('10.0.0.0/8->tun_dst', 'tunDst', '10.0.0.0/8'),
  setting('oam->tun_flags', 'tunFlags', 'oam'),
  setting('0->in_port', 'inPort', 0),
  setting('0x1005->vlan_tci', 'vlanTci', 0x1005),
  setting('0a:00:00:00:00:01->eth_dst', 'ethDst', '0a:00:00:00:00:01'),
  setting(
    '01:00:00:00:00:00/01:00:00:00:00:00->eth_src',
    'ethSrc',
    '01:00:00:00:00:00/01:00:00:00:00:00',
  ),
  setting('10.0.0.1->ip_src', 'ipv4Src', '10.0.0.1', ip, 'ip'),
  setting('10.0.0.2->ip_dst', 'ipv4Dst', '10.0.0.2', ip, 'ip'),
  setting('10->ip_dscp', 'ipDscp', 10, ip, 'ip'),
  setting('2->nw_ecn', 'ipEcn', 2, ip, 'ip'),
  setting('64->nw_ttl', 'nwTtl', 64, ip, 'ip'),
  setting('80->tcp_src', 'tcpSrc', 80, tcp, 'tcp'),
  setting('81->tcp_dst', 'tcpDst', 81, tcp, 'tcp'),
  setting('67->udp_src', 'udpSrc', 67, udp, 'udp'),
  setting('68->udp_dst', 'udpDst', 68, udp, 'udp'),
  setting('0->icmp_type', 'icmpType', 0, icmp, 'icmp'),
  setting('1->icmp_code', 'icmpCode', 1, icmp, 'icmp'),
  setting('2->arp_op', 'arpOp', 2, arp, 'arp'),
  setting('10.0.0.1->arp_spa', 'arpSpa', '10.0.0.1', arp, 'arp'),
  setting('10.0.0.2->arp_tpa', 'arpTpa', '10.0.0.2', arp, 'arp'),
  setting('0a:00:00:00:00:01->arp_sha', 'arpSha', '0a:00:00:00:00:01', arp, 'arp'),
  setting('0a:00:00:00:00:02->arp_tha', 'arpTha', '0a:00:00:00:00:02', arp, 'arp'),
  acting('load:0x3->NXM_NX_REG1[4..7]', [
    { type: 'load', value: 3, to: { field: 'reg1', from: 4, to: 7 } },
  ]),
  acting('load:0x1->NXM_NX_REG1[31]', [
    { type: 'load', value: 1, to: { field: 'reg1', from: 31, to: 31 } },
  ]),
  acting('load:0x5->NXM_NX_REG1[]', [{ type: 'load', value: 5, to: whole('reg1', 32) }]),
  acting('load:0x1122334455667788->NXM_NX_TUN_ID[]', [
    { type: 'load', value: 0x1122334455667788n, to: whole('tunId', 64) },
  ]),
  acting('load:0x5->OXM_OF_METADATA[0..3]', [
    { type: 'load', value: 5n, to: { field: 'metadata', from: 0, to: 3 } },
  ]),
  acting('load:0->NXM_OF_IN_PORT[]', [{ type: 'load', value: 0, to: whole('inPort', 16) }]),
  acting('load:0xa00000000001->NXM_OF_ETH_DST[]', [
    { type: 'load', value: 0xa00000000001n, to: whole('ethDst', 48) },
  ]),
  acting(
    'load:0x3f->OXM_OF_IP_DSCP[]',
    [{ type: 'load', value: 0x3f, to: whole('ipDscp', 6) }],
    ip,
    'ip',
  ),
  acting('move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]', [
    { type: 'move', from: whole('ethSrc', 48), to: whole('ethDst', 48) },
  ]),
  acting('move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]', [
    {
      type: 'move',
      from: { field: 'reg0', from: 0, to: 15 },
      to: { field: 'reg1', from: 16, to: 31 },
    },
  ]),
  acting('move:OXM_OF_METADATA[0..7]->OXM_OF_PKT_REG0[8..15]', [
    {
      type: 'move',
      from: { field: 'metadata', from: 0, to: 7 },
      to: { field: 'xreg0', from: 8, to: 15 },
    },
  ]),
  acting('move:NXM_OF_IN_PORT[]->NXM_NX_REG5[0..15]', [
    { type: 'move', from: whole('inPort', 16), to: { field: 'reg5', from: 0, to: 15 } },
  ]),
  acting('move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG5[]', [
    { type: 'move', from: { field: 'tunId', from: 0, to: 31 }, to: whole('reg5', 32) },
  ]),
  acting(
    'move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]',
    [
      { type: 'move', from: whole('arpSpa', 32), to: whole('arpTpa', 32) },
      { type: 'move', from: whole('arpSha', 48), to: whole('arpTha', 48) },
    ],
    arp,
    'arp',
  ),
  acting('dec_ttl', [{ type: 'decTtl' }], ip, 'ip'),
  acting('resubmit(,10)', [{ type: 'resubmit', table: 10 }]),
  acting('resubmit(5,8)', [{ type: 'resubmit', table: 8, inPort: 5 }]),
  acting('resubmit(LOCAL,8)', [{ type: 'resubmit', table: 8, inPort: 0xfffffffe }]),
  acting('goto_table:7', [{ type: 'goto', table: 7 }]),
  acting('resubmit(,10),output:2,goto_table:7', [
    { type: 'resubmit', table: 10 },
    { type: 'output', port: 2 },
    { type: 'goto', table: 7 },
  ]),
]

const heads: readonly GoldenCase[] = [
  {
    text: 'cookie=0x1122334455667788,table=254,priority=65535,idle_timeout=5,hard_timeout=600,send_flow_rem,in_port=1 actions=output:2',
    change: {
      type: 'add',
      flow: {
        table: 254,
        priority: 65_535,
        cookie: 0x1122334455667788n,
        idleTimeoutSeconds: 5,
        hardTimeoutSeconds: 600,
        sendFlowRemoved: true,
        match: { inPort: 1 },
        actions: [{ type: 'output', port: 2 }],
      },
    },
  },
  {
    text: 'delete_strict table=4,priority=9,in_port=1',
    change: { type: 'deleteStrict', table: 4, priority: 9, match: { inPort: 1 } },
  },
  {
    text: 'delete cookie=0x5/0xff',
    change: { type: 'deleteByCookie', cookie: 5n, cookieMask: 0xffn },
  },
  {
    text: 'delete table=6,cookie=0x100/-1',
    change: {
      type: 'deleteByCookie',
      cookie: 0x100n,
      cookieMask: 0xffff_ffff_ffff_ffffn,
      table: 6,
    },
  },
]

/** Every field in every form and every action, each in a flow of its own. */
export const GOLDEN_CASES: readonly GoldenCase[] = [...matches, ...outputs, ...changes, ...heads]

/** A message other than a bare flow-mod: a command of ovs-ofctl, which of its messages is meant, and ours. */
export interface GoldenMessage {
  readonly text: string
  readonly args: (target: string) => readonly string[]
  readonly input?: string
  readonly position?: number
  readonly write: (writer: ByteWriter, header: RequestHeader) => void
}

const PACKET = Uint8Array.from({ length: 60 }, (_, index) => index)
const BUNDLE_INPUT = 'table=3,priority=7,in_port=1 actions=output:2\n'

export const GOLDEN_MESSAGES: readonly GoldenMessage[] = [
  {
    text: 'packet-out',
    args: (target) => [
      'packet-out',
      target,
      `in_port=5 packet=${Buffer.from(PACKET).toString('hex')} actions=set_field:0x7->reg0,resubmit(,3),output:2`,
    ],
    write: (writer, header) =>
      writePacketOut(
        writer,
        {
          packet: PACKET,
          inPort: 5,
          actions: [
            { type: 'setField', field: 'reg0', value: 7 },
            { type: 'resubmit', table: 3 },
            { type: 'output', port: 2 },
          ],
        },
        header,
      ),
  },
  {
    text: 'dump-flows',
    args: (target) => ['dump-flows', target],
    write: (writer, header) => writeFlowRequest(writer, {}, header),
  },
  {
    text: 'dump-flows table=4,cookie=0x5/0xff',
    args: (target) => ['dump-flows', target, 'table=4,cookie=0x5/0xff'],
    write: (writer, header) =>
      writeFlowRequest(writer, { table: 4, cookie: 5n, cookieMask: 0xffn }, header),
  },
  {
    text: 'dump-ports-desc',
    args: (target) => ['dump-ports-desc', target],
    write: writePortDescriptionRequest,
  },
  {
    text: 'dump-ports',
    args: (target) => ['dump-ports', target],
    write: (writer, header) => writePortStatsRequest(writer, PORT_ANY, header),
  },
  {
    text: 'dump-ports 7',
    args: (target) => ['dump-ports', target, '7'],
    write: (writer, header) => writePortStatsRequest(writer, 7, header),
  },
  ...['open', 'add', 'commit'].map((step, position) => bundleMessage(step, position)),
]

function bundleMessage(step: string, position: number): GoldenMessage {
  return {
    text: `bundle ${step}`,
    args: (target) => ['--bundle', 'add-flows', target, '-'],
    input: BUNDLE_INPUT,
    position,
    write(writer, header) {
      if (step === 'add') {
        const change: FlowChange = {
          type: 'add',
          flow: {
            table: 3,
            priority: 7,
            cookie: 0n,
            match: { inPort: 1 },
            actions: [{ type: 'output', port: 2 }],
          },
        }
        writeBundleAdd(writer, { bundleId: 0, change }, header)
      } else {
        writeBundleControl(writer, { bundleId: 0, step: step === 'open' ? 0 : 4 }, header)
      }
    },
  }
}
