import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderFields, renderTable, type Column } from './table.ts'
import { displayWidth } from './values.ts'

interface Row {
  name: string
  count: number
  note: string | null
}
const columns: readonly Column<Row>[] = [
  { header: 'NAME', value: ({ name }) => name },
  { header: 'COUNT', value: ({ count }) => count, align: 'right' },
  { header: 'NOTE', value: ({ note }) => note },
]
const rows: readonly Row[] = [
  { name: 'a', count: 5, note: 'a rather long note that goes on and on' },
  { name: 'longer-name', count: 12_345, note: null },
]

test('columns are aligned, absent values are a dash, no line ends with spaces', () => {
  assert.equal(
    renderTable(rows, columns),
    'NAME         COUNT  NOTE\n' +
      'a                5  a rather long note that goes on and on\n' +
      'longer-name  12345  -\n',
  )
})

test('only the widest column is cut until the table fits, ids never', () => {
  const narrow = renderTable(rows, columns, 40)
  assert.match(narrow, /a rather long note…\n/)
  assert.match(narrow, /longer-name/)
  for (const width of [200, 60, 40, 30, 24]) {
    const lines = renderTable(rows, columns, width).split('\n')
    assert.ok(
      lines.every((line) => displayWidth(line) <= width),
      String(width),
    )
  }
  // Too narrow for anything: it still ends, and says what it can.
  assert.match(renderTable(rows, columns, 1), /NAME/)
  const id = '019a0000-0000-7000-8000-000000000009'
  const whole = renderTable(
    [{ name: id, count: 1, note: 'x'.repeat(50) }],
    [{ header: 'ID', value: ({ name }) => name, isWhole: true }, ...columns.slice(2)],
    50,
  )
  assert.match(whole, new RegExp(`${id}  x{11}…`))
})

test('text of others cannot steer the terminal or break the table', () => {
  const table = renderTable(
    [{ name: 'x', count: 1, note: '\u001b[2Jtwo\nlines\u0007\u009b' }],
    columns,
  )
  // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
  assert.doesNotMatch(table, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  assert.equal(table.split('\n').length, 3)
})

test('wide characters count as two columns', () => {
  const table = renderTable([{ name: '容器', count: 1, note: 'é' }], columns)
  assert.equal(table, 'NAME  COUNT  NOTE\n容器      1  é\n')
  assert.equal(displayWidth('a👍e\u0301'), 4)
})

test('colour does not change the layout', () => {
  const painted = renderTable(rows, [
    { header: 'NAME', value: ({ name }) => name, paint: (cell) => `<${cell}>` },
    { header: 'COUNT', value: ({ count }) => count },
  ])
  assert.equal(painted, 'NAME         COUNT\n<a>            5\n<longer-name>  12345\n')
})

test('fields are aligned and absent ones left out', () => {
  assert.equal(
    renderFields([
      ['name', 'web'],
      ['reason', null],
      ['address', '10.0.0.5'],
    ]),
    '  name     web\n  address  10.0.0.5\n',
  )
})
