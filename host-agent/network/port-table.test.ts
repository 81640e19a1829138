import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testId, testPort } from '../testing/wanted.ts'
import { MemoryDisk } from '../wanted/disk.ts'
import { PortTable } from './port-table.ts'

const setPort = (number: number) => testPort(number, { on: 'set', setId: testId('set', number) })

test('ports get different numbers and devices, and keep them over a restart', () => {
  const disk = new MemoryDisk()
  const table = new PortTable(disk)
  table.place([setPort(1), setPort(2)])
  table.place([setPort(2), testPort(3, { on: 'interface', interfaceName: 'veth7' })])
  const all = [...table.all.values()]
  assert.equal(new Set(all.map(({ ofport }) => ofport)).size, 3)
  assert.equal(table.get(testId('port', 1))?.name, 'np000000000001')
  assert.equal(table.get(testId('port', 3))?.name, 'veth7')
  assert.deepEqual([...new PortTable(disk).all.values()], all)
})

test('a number rests after its last use, and is free again in the end', () => {
  const table = new PortTable(new MemoryDisk())
  table.place([setPort(1)])
  table.release(testId('port', 1))
  table.release(testId('port', 1))
  table.place([setPort(2)])
  assert.equal(table.get(testId('port', 2))?.ofport, 2)
})

test('ports whose ids end alike get different devices', () => {
  const table = new PortTable(new MemoryDisk())
  const other = { ...setPort(1), id: testId('port', 1).replace('0190a000', '0190b111') }
  table.place([setPort(1), other])
  const names = [...table.all.values()].map(({ name }) => name)
  assert.equal(new Set(names).size, 2)
  assert.ok(names.every((name) => /^np[0-9a-f]{12}$/.test(name)))
})

test('what an earlier life left on the switch is taken over, unless it is in the way', () => {
  const table = new PortTable(new MemoryDisk())
  assert.ok(table.adopt({ portId: testId('port', 5), ofport: 1, name: 'npold' }))
  table.place([setPort(1)])
  assert.notEqual(table.get(testId('port', 1))?.ofport, 1)
  assert.ok(table.adopt({ portId: testId('port', 5), ofport: 1, name: 'npold' }))
  assert.ok(!table.adopt({ portId: testId('port', 5), ofport: 7, name: 'npold' }))
  assert.ok(!table.adopt({ portId: testId('port', 6), ofport: 1, name: 'npnew' }))
  assert.ok(!table.adopt({ portId: testId('port', 6), ofport: 70_000, name: 'npnew' }))
})
