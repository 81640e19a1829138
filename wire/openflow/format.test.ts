import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { OpenFlowEncodeError } from './errors.ts'
import type { Flow } from './flow.ts'
import { formatActions, formatFlow, formatMatch } from './format.ts'

const flow: Flow = {
  table: 0,
  priority: 100,
  cookie: 0n,
  match: { inPort: 1 },
  actions: [
    { type: 'setField', field: 'reg0', value: 5000 },
    { type: 'resubmit', table: 10 },
  ],
}

suite('Flows as text', () => {
  test('a flow reads as ovs-ofctl writes it', () => {
    assert.equal(
      formatFlow(flow),
      'table=0,priority=100,in_port=1,actions=set_field:0x1388->reg0,resubmit(,10)',
    )
  })

  test('what is not the default stands in front', () => {
    const full: Flow = {
      ...flow,
      cookie: 0xabcn,
      idleTimeoutSeconds: 5,
      hardTimeoutSeconds: 60,
      sendFlowRemoved: true,
    }
    assert.equal(
      formatFlow(full, { omitCookie: true }),
      'table=0,priority=100,idle_timeout=5,hard_timeout=60,send_flow_rem,in_port=1,actions=set_field:0x1388->reg0,resubmit(,10)',
    )
    assert.match(formatFlow(full), /^cookie=0xabc,table=0,/)
  })

  test('tables may have names', () => {
    const tableNames = new Map([
      [0, 'classify'],
      [7, 'output'],
    ])
    const jump: Flow = { ...flow, match: {}, actions: [{ type: 'goto', table: 7 }] }
    assert.equal(
      formatFlow(jump, { tableNames }),
      'table=classify,priority=100,actions=goto_table:output',
    )
  })

  test('no actions is drop, no match is nothing', () => {
    assert.equal(
      formatFlow({ ...flow, match: {}, actions: [] }),
      'table=0,priority=100,actions=drop',
    )
    assert.equal(formatActions([]), 'drop')
    assert.equal(formatMatch({}), '')
  })

  test('protocols are said by their word', () => {
    assert.equal(formatMatch({ ethType: 0x0800, ipProto: 6, tcpDst: 80 }), 'tcp,tp_dst=80')
    assert.equal(formatMatch({ ethType: 0x86dd, ipProto: 17 }), 'udp6')
    assert.equal(formatMatch({ ethType: 0x0800, ipProto: 112 }), 'ip,nw_proto=112')
    assert.equal(
      formatMatch({ ethType: 0x0806, arpOp: 1, arpTpa: '10.0.0.1' }),
      'arp,arp_tpa=10.0.0.1,arp_op=1',
    )
    assert.equal(formatMatch({ ethType: 0x88cc }), 'dl_type=0x88cc')
  })

  test('values read as people write them', () => {
    assert.equal(formatMatch({ inPort: 'local' }), 'in_port=LOCAL')
    assert.equal(
      formatMatch({ ethDst: '01:00:00:00:00:00/01:00:00:00:00:00' }),
      'dl_dst=01:00:00:00:00:00/01:00:00:00:00:00',
    )
    assert.equal(formatMatch({ tunDst: '10.0.0.0/255.0.0.255' }), 'tun_dst=10.0.0.0/255.0.0.255')
    assert.equal(formatMatch({ vlanTci: 0 }), 'vlan_tci=0x0000/0x1fff')
    assert.equal(formatMatch({ vlanTci: 0x1005 }), 'dl_vlan=5,dl_vlan_pcp=0')
    assert.equal(formatMatch({ ctState: '+trk-new' }), 'ct_state=-new+trk')
    assert.equal(formatMatch({ ethType: 0x0800, ipDscp: 10 }), 'ip,nw_tos=40')
  })

  test('a flow that cannot be expressed has no text either', () => {
    assert.throws(() => formatFlow({ ...flow, match: { tcpDst: 1 } }), OpenFlowEncodeError)
  })
})
