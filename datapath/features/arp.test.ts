import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('gateway and ports of a subnet are answered for; a guest is not told about its own address', () => {
  assert.deepEqual(flowTexts('arp'), {
    host: [
      'table=arp-reply,priority=100,arp,actions=set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_OF_ETH_DST[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ETH_SRC[]->NXM_NX_ARP_SHA[],move:NXM_OF_ARP_SPA[]->NXM_NX_REG6[],move:NXM_OF_ARP_TPA[]->NXM_OF_ARP_SPA[],move:NXM_NX_REG6[]->NXM_OF_ARP_TPA[],set_field:0x30000000/0x30000000->reg0,goto_table:deliver',
    ],
    'subnet/front': [
      'table=arp,priority=100,arp,reg0=0x1388/0xffffff,reg1=0xa000000,arp_tpa=10.0.0.1,arp_op=1,actions=set_field:0a:00:00:00:00:fe->eth_src,goto_table:arp-reply',
    ],
    'subnet/back': [
      'table=arp,priority=100,arp,reg0=0x1388/0xffffff,reg1=0xa000100,arp_tpa=10.0.1.1,arp_op=1,actions=set_field:0a:00:00:00:01:fe->eth_src,goto_table:arp-reply',
    ],
    'port/web': [
      'table=arp,priority=100,arp,reg0=0x1388/0xffffff,reg1=0xa000000,arp_tpa=10.0.0.5,arp_op=1,actions=set_field:0a:00:00:00:00:05->eth_src,goto_table:arp-reply',
      'table=arp,priority=200,arp,in_port=1,arp_tpa=10.0.0.5,actions=drop',
    ],
    'port/store': [
      'table=arp,priority=100,arp,reg0=0x1388/0xffffff,reg1=0xa000100,arp_tpa=10.0.1.9,arp_op=1,actions=set_field:0a:00:00:00:01:09->eth_src,goto_table:arp-reply',
    ],
  })
})
