import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('output to a port, back to the sender, or into the tunnel; only packets of ports enter it', () => {
  assert.deepEqual(flowTexts('deliver'), {
    host: [
      'table=deliver,priority=100,reg0=0x10000000/0x30000000,actions=output:NXM_NX_REG2[]',
      'table=deliver,priority=100,reg0=0x30000000/0x30000000,actions=IN_PORT',
      'table=deliver,priority=100,reg0=0x21000000/0x33000000,actions=move:NXM_NX_REG0[0..23]->NXM_NX_TUN_ID[0..23],move:NXM_NX_REG3[]->NXM_NX_TUN_IPV4_DST[],output:100',
    ],
    'port/web': [
      'table=deliver,priority=200,reg0=0x10000000/0x30000000,reg2=0x1,in_port=1,actions=IN_PORT',
    ],
  })
})
