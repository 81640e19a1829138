import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowTexts } from '../testing/flow-texts.ts'

test('a port sends only IPv4 and ARP with its own MAC and address', () => {
  assert.deepEqual(flowTexts('anti-spoof'), {
    'port/web': [
      'table=anti-spoof,priority=100,ip,in_port=1,dl_src=0a:00:00:00:00:05,nw_src=10.0.0.5,actions=goto_table:to-gateway',
      'table=anti-spoof,priority=100,arp,in_port=1,dl_src=0a:00:00:00:00:05,arp_spa=10.0.0.5,arp_sha=0a:00:00:00:00:05,actions=goto_table:arp',
    ],
  })
})
