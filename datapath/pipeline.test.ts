import assert from 'node:assert/strict'
import { test } from 'node:test'
import { numberTables, pipeline, stages, tableNames, type TableDeclaration } from './pipeline.ts'

test('declaration order is pipeline order: numbers rise, stages never go back', () => {
  for (const [i, table] of pipeline.entries()) {
    const before = pipeline[i - 1]
    if (before === undefined) continue
    assert.ok(table.number > before.number, table.name)
    assert.ok(stages.indexOf(table.stage) >= stages.indexOf(before.stage), table.name)
  }
  assert.equal(pipeline[0]?.number, 0, 'packets start in table 0')
  assert.ok(pipeline.every(({ name, number }) => tableNames.get(number) === name))
})

test('a table added to a stage leaves the numbers of other stages alone', () => {
  const before = numberTables(pipeline)
  const added: TableDeclaration = { name: 'more', stage: 'answer', onMiss: 'drop' }
  const at = pipeline.findIndex(({ stage }) => stage === 'route')
  const after = numberTables([...pipeline.slice(0, at), added, ...pipeline.slice(at)])
  for (const { name } of pipeline) assert.equal(after.get(name), before.get(name), name)
})

test('planted mistakes in the declarations are found', () => {
  const first: TableDeclaration = { name: 'a', stage: 'admit', onMiss: 'drop' }
  const last: TableDeclaration = { name: 'z', stage: 'deliver', onMiss: 'drop' }
  assert.throws(() => numberTables([last, first]), /declared too late/)
  assert.throws(() => numberTables([first, { ...last, name: 'a' }]), /declared twice/)
  assert.throws(() => numberTables([first, { ...last, onMiss: 'a' }]), /must go forward/)
  assert.throws(() => numberTables([{ ...first, onMiss: 'a' }]), /must go forward/)
  assert.throws(() => numberTables([{ ...first, onMiss: 'nowhere' }]), /must go forward/)
  const crowd = Array.from({ length: 33 }, (_, i) => ({ ...first, name: `a${i}` }))
  assert.throws(() => numberTables(crowd), /stage is full/)
})
