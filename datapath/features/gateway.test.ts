import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('what is sent to the gateway is routed; it answers pings and nothing else', () => {
  assert.deepEqual(flowTexts('gateway'), {
    'subnet/front': [
      'table=to-gateway,priority=100,reg0=0x1388/0xffffff,reg1=0xa000000,dl_dst=0a:00:00:00:00:fe,actions=set_field:0x4000000/0x4000000->reg0,goto_table:gateway',
      'table=gateway,priority=200,icmp,reg0=0x1388/0xffffff,nw_dst=10.0.0.1,icmp_type=8,icmp_code=0,actions=move:NXM_OF_ETH_DST[]->OXM_OF_PKT_REG2[0..47],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:OXM_OF_PKT_REG2[0..47]->NXM_OF_ETH_SRC[],move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],set_field:10.0.0.1->ip_src,set_field:64->nw_ttl,set_field:0->icmp_type,set_field:0x30000000/0x30000000->reg0,goto_table:deliver',
      'table=gateway,priority=100,ip,reg0=0x1388/0xffffff,nw_dst=10.0.0.1,actions=drop',
    ],
    'subnet/back': [
      'table=to-gateway,priority=100,reg0=0x1388/0xffffff,reg1=0xa000100,dl_dst=0a:00:00:00:01:fe,actions=set_field:0x4000000/0x4000000->reg0,goto_table:gateway',
      'table=gateway,priority=200,icmp,reg0=0x1388/0xffffff,nw_dst=10.0.1.1,icmp_type=8,icmp_code=0,actions=move:NXM_OF_ETH_DST[]->OXM_OF_PKT_REG2[0..47],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:OXM_OF_PKT_REG2[0..47]->NXM_OF_ETH_SRC[],move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],set_field:10.0.1.1->ip_src,set_field:64->nw_ttl,set_field:0->icmp_type,set_field:0x30000000/0x30000000->reg0,goto_table:deliver',
      'table=gateway,priority=100,ip,reg0=0x1388/0xffffff,nw_dst=10.0.1.1,actions=drop',
    ],
  })
})
