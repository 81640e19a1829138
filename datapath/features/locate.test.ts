import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('a port is found by MAC when bridged and by address when routed, here or at a tunnel address', () => {
  assert.deepEqual(flowTexts('locate'), {
    'port/web': [
      'table=locate,priority=100,reg0=0x1388/0x4ffffff,dl_dst=0a:00:00:00:00:05,actions=set_field:0x10000000/0x30000000->reg0,set_field:0x1->reg2,goto_table:deliver',
      'table=locate,priority=100,ip,reg0=0x4001388/0x4ffffff,nw_dst=10.0.0.5,actions=set_field:0a:00:00:00:00:05->eth_dst,set_field:0x10000000/0x30000000->reg0,set_field:0x1->reg2,goto_table:deliver',
    ],
    'port/store': [
      'table=locate,priority=100,reg0=0x1388/0x4ffffff,dl_dst=0a:00:00:00:01:09,actions=set_field:0x20000000/0x30000000->reg0,set_field:0xc0a8640c->reg3,goto_table:deliver',
      'table=locate,priority=100,ip,reg0=0x4001388/0x4ffffff,nw_dst=10.0.1.9,actions=set_field:0a:00:00:00:01:09->eth_dst,set_field:0x20000000/0x30000000->reg0,set_field:0xc0a8640c->reg3,goto_table:deliver',
    ],
  })
})
