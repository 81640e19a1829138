import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('every table says what happens to a packet that it does not know', () => {
  assert.deepEqual(flowTexts('table-miss'), {
    host: [
      'table=classify,priority=0,actions=drop',
      'table=anti-spoof,priority=0,actions=drop',
      'table=arp,priority=0,actions=drop',
      'table=arp-reply,priority=0,actions=drop',
      'table=to-gateway,priority=0,actions=goto_table:locate',
      'table=gateway,priority=0,actions=goto_table:route',
      'table=route,priority=0,actions=drop',
      'table=locate,priority=0,actions=drop',
      'table=deliver,priority=0,actions=drop',
    ],
  })
})
