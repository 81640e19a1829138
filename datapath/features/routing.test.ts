import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('every subnet is reached through its own gateway; a packet at its last hop ends', () => {
  assert.deepEqual(flowTexts('routing'), {
    host: [
      'table=route,priority=200,ip,nw_ttl=0,actions=drop',
      'table=route,priority=200,ip,nw_ttl=1,actions=drop',
    ],
    'subnet/front': [
      'table=route,priority=100,ip,reg0=0x1388/0xffffff,nw_dst=10.0.0.0/24,actions=dec_ttl,set_field:0a:00:00:00:00:fe->eth_src,goto_table:locate',
    ],
    'subnet/back': [
      'table=route,priority=100,ip,reg0=0x1388/0xffffff,nw_dst=10.0.1.0/24,actions=dec_ttl,set_field:0a:00:00:00:01:fe->eth_src,goto_table:locate',
    ],
  })
})
