import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('a port is known by its number and sends untagged frames; a tunnel packet by its VNI', () => {
  assert.deepEqual(flowTexts('classify'), {
    'network/shop': [
      'table=classify,priority=100,ip,tun_id=0x1388,in_port=100,vlan_tci=0x0000/0x1fff,actions=set_field:0x2001388/0x3ffffff->reg0,goto_table:locate',
    ],
    'port/web': [
      'table=classify,priority=100,in_port=1,vlan_tci=0x0000/0x1fff,actions=set_field:0x1001388/0x3ffffff->reg0,set_field:0xa000000->reg1,goto_table:anti-spoof',
    ],
  })
})
