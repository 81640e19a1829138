import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import type { Action, Flow } from './flow.ts'
import { actionsKey, flowKey, flowsEqual } from './identity.ts'

const flow: Flow = {
  table: 5,
  priority: 10,
  cookie: 7n,
  match: { reg0: 1, ethType: 0x0800, ipv4Dst: '10.0.0.0/24' },
  actions: [{ type: 'output', port: 1 }],
}

suite('Identity of flows', () => {
  test('the key is that of table, priority and match, however the values are given', () => {
    const same: Flow = {
      ...flow,
      match: { ipv4Dst: { value: 0x0a000000, mask: 0xffffff00 }, ethType: 0x0800n, reg0: '0x1' },
    }
    assert.equal(flowKey(same), flowKey(flow))
    assert.ok(flowsEqual(same, flow))
    for (const other of [{ table: 6 }, { priority: 11 }, { match: { ...flow.match, reg0: 2 } }]) {
      assert.notEqual(flowKey({ ...flow, ...other }), flowKey(flow))
    }
  })

  test('cookie, timeouts, flow-removed and actions are no part of the key, but of equality', () => {
    const others: readonly Partial<Flow>[] = [
      { cookie: 8n },
      { idleTimeoutSeconds: 1 },
      { hardTimeoutSeconds: 1 },
      { sendFlowRemoved: true },
      { actions: [{ type: 'output', port: 2 }] },
      { actions: [] },
    ]
    for (const other of others) {
      assert.equal(flowKey({ ...flow, ...other }), flowKey(flow))
      assert.ok(!flowsEqual({ ...flow, ...other }, flow))
    }
    assert.ok(flowsEqual({ ...flow, idleTimeoutSeconds: 0, sendFlowRemoved: false }, flow))
  })

  test('actions that the switch cannot tell apart are equal', () => {
    const pairs: readonly (readonly [readonly Action[], readonly Action[]])[] = [
      [
        [{ type: 'load', value: 5, to: { field: 'reg0', from: 0, to: 31 } }],
        [{ type: 'setField', field: 'reg0', value: 5 }],
      ],
      [
        [
          { type: 'load', value: 0xf, to: { field: 'reg0', from: 0, to: 3 } },
          { type: 'load', value: 1, to: { field: 'reg0', from: 8, to: 11 } },
        ],
        [{ type: 'setField', field: 'reg0', value: { value: 0x10f, mask: 0xf0f } }],
      ],
      [[{ type: 'output', port: 'local' }], [{ type: 'output', port: 0xfffffffe, maxLength: 99 }]],
      [
        [{ type: 'output', port: 'controller' }],
        [{ type: 'output', port: 'controller', maxLength: 0xffff }],
      ],
      [
        [{ type: 'controller' }],
        [{ type: 'controller', maxLength: 0xffff, reason: 1, pause: false }],
      ],
      [
        [{ type: 'controller', maxLength: 9 }],
        [{ type: 'output', port: 'controller', maxLength: 9 }],
      ],
      [[{ type: 'resubmit', table: 3 }], [{ type: 'resubmit', table: 3, inPort: 0xfff8 }]],
    ]
    for (const [one, other] of pairs) assert.equal(actionsKey(one), actionsKey(other))
  })

  test('actions that differ in effect are not equal', () => {
    const different: readonly (readonly Action[])[] = [
      [{ type: 'output', port: 1 }],
      [{ type: 'output', port: 'controller' }],
      [{ type: 'output', port: 'controller', maxLength: 5 }],
      [{ type: 'controller', reason: 0 }],
      [{ type: 'controller', pause: true }],
      [{ type: 'controller', userdata: Uint8Array.of(1) }],
      [{ type: 'controller', userdata: Uint8Array.of(0x11) }],
      [{ type: 'load', value: 1, to: { field: 'reg0', from: 0, to: 0 } }],
      [{ type: 'load', value: 1, to: { field: 'reg0', from: 0, to: 1 } }],
      [{ type: 'goto', table: 3 }],
      [{ type: 'resubmit', table: 3 }],
      [{ type: 'decTtl' }],
      [],
    ]
    assert.equal(new Set(different.map((actions) => actionsKey(actions))).size, different.length)
  })
})
