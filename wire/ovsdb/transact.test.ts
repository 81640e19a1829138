import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OvsdbError } from './errors.ts'
import {
  abort,
  assertLock,
  comment,
  deleteRows,
  everyRow,
  insert,
  mutate,
  readResults,
  select,
  theRow,
  update,
  wait,
} from './transact.ts'
import { encodeValue, refer, referNamed, toUuid } from './value.ts'

const uuid = toUuid('0BADF00D-0000-4000-8000-00000000000A')

test('operations have the wire form of RFC 7047', () => {
  const operations = [
    insert('Interface', { name: 'eth0', external_ids: new Map([['a', 'b']]) }, 'new_if'),
    insert('Port', { interfaces: referNamed('new_if'), tag: new Set([5]) }),
    update('Bridge', [['name', '==', 'br-int']], { protocols: ['OpenFlow14', 'OpenFlow15'] }),
    mutate('Bridge', theRow(uuid), [['ports', 'insert', new Set([refer(uuid)])]]),
    mutate('Open_vSwitch', everyRow, [['next_cfg', '+=', 1]]),
    deleteRows('Port', [['name', '!=', 'x']]),
    select('Port', everyRow, ['name']),
    wait('Port', everyRow, {
      columns: ['name'],
      until: '!=',
      rows: [{ name: 'x' }],
      timeoutMs: 0,
    }),
    comment('why'),
    assertLock('l'),
    abort(),
  ]
  assert.deepEqual(
    operations.map((operation) => JSON.stringify(operation)),
    [
      '{"op":"insert","table":"Interface","row":{"name":"eth0","external_ids":["map",[["a","b"]]]},"uuid-name":"new_if"}',
      '{"op":"insert","table":"Port","row":{"interfaces":["named-uuid","new_if"],"tag":["set",[5]]}}',
      '{"op":"update","table":"Bridge","where":[["name","==","br-int"]],"row":{"protocols":["set",["OpenFlow14","OpenFlow15"]]}}',
      '{"op":"mutate","table":"Bridge","where":[["_uuid","==",["uuid","0badf00d-0000-4000-8000-00000000000a"]]],"mutations":[["ports","insert",["set",[["uuid","0badf00d-0000-4000-8000-00000000000a"]]]]]}',
      '{"op":"mutate","table":"Open_vSwitch","where":[],"mutations":[["next_cfg","+=",1]]}',
      '{"op":"delete","table":"Port","where":[["name","!=","x"]]}',
      '{"op":"select","table":"Port","where":[],"columns":["name"]}',
      '{"op":"wait","table":"Port","where":[],"columns":["name"],"until":"!=","rows":[{"name":"x"}],"timeout":0}',
      '{"op":"comment","comment":"why"}',
      '{"op":"assert","lock":"l"}',
      '{"op":"abort"}',
    ],
  )
})

test('what OVSDB cannot hold is refused before it is sent', () => {
  const isValueError = (error: unknown): boolean =>
    error instanceof OvsdbError && error.kind === 'value'
  for (const number of [Number.NaN, Infinity, 2 ** 53]) {
    assert.throws(() => encodeValue(number), isValueError)
  }
  assert.throws(() => referNamed('has space'), isValueError)
  assert.throws(() => toUuid('1234'), isValueError)
})

test('results are read by operation', () => {
  const reply = [{ uuid: ['uuid', uuid] }, { count: 2 }, {}, { rows: [{ name: 'x' }] }]
  assert.deepEqual(readResults(reply, 4), [{ uuid }, { count: 2 }, {}, { rows: [{ name: 'x' }] }])
})

test('a failed operation is raised with its index, a failed commit with the index after the last', () => {
  const failed = [{}, { error: 'constraint violation', details: 'twice' }, null]
  assert.throws(() => readResults(failed, 3), {
    kind: 'transaction',
    error: 'constraint violation',
    details: 'twice',
    operationIndex: 1,
  })
  assert.throws(() => readResults([{}, { error: 'referential integrity violation' }], 1), {
    kind: 'transaction',
    operationIndex: 1,
  })
})

test('replies that do not fit the request are refused', () => {
  for (const reply of [null, {}, [], [null], [{}, {}], ['x']]) {
    assert.throws(() => readResults(reply, 1), { kind: 'protocol' }, JSON.stringify(reply))
  }
})
