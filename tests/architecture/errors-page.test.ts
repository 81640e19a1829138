// Proves that the page of errors says of each code what the catalogue says, and tells people what to do.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { errorCatalogue, errorStatus } from '@nubo/base'
import { tableRows } from './markdown.ts'

const page = readFileSync(new URL('../../docs/reference/errors.md', import.meta.url), 'utf8')
const rows = tableRows(page)

test('the page has the codes of the catalogue in its order, with kind, status and text', () => {
  assert.deepEqual(
    rows.map((cells) => cells.slice(0, 4)),
    Object.entries(errorCatalogue).map(([code, { kind, text }]) => [
      code,
      kind,
      String(errorStatus[kind]),
      text,
    ]),
  )
})

test('each row tells what to do, in sentences', () => {
  for (const [code, , , , next] of rows) assert.match(next ?? '', /^[A-Z][^|]{15,}\.$/, code)
})

test('codes are words in capitals, and texts are sentences', () => {
  for (const [code, { text }] of Object.entries(errorCatalogue)) {
    assert.match(code, /^[A-Z]+(_[A-Z]+)*$/)
    assert.match(text, /^[A-Z].*\.$/)
  }
})
