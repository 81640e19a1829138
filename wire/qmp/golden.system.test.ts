/** The QEMU at hand still says what the recording says: no field that was there is gone or of another type. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { GOLDEN_FILE, type GoldenLine } from './testing/golden-session.ts'
import { RealQemu } from './testing/qemu.ts'
import { recordGolden } from './testing/record-golden.ts'

/** Every path in a value with the type that is there; the items of a list count as one. */
function shapeOf(value: unknown, at = '$'): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => shapeOf(item, `${at}[]`))
  if (typeof value !== 'object' || value === null) return [`${at}: ${typeof value}`]
  return Object.entries(value).flatMap(([name, item]) => shapeOf(item, `${at}.${name}`))
}

/** Commands and answers; events come when they come. */
function dialogue(lines: readonly GoldenLine[]): GoldenLine[] {
  return lines.filter(({ text }) => !text.includes('"event"'))
}

test('a new recording has every field of the committed one', async (t) => {
  const committed = dialogue(JSON.parse(readFileSync(GOLDEN_FILE, 'utf8')) as GoldenLine[])
  const recorded = dialogue(await recordGolden(await RealQemu.start(t)))
  assert.deepEqual(
    recorded.map(({ from }) => from),
    committed.map(({ from }) => from),
  )
  for (const [index, line] of committed.entries()) {
    const text = recorded[index]?.text ?? ''
    if (line.from === 'client') {
      assert.equal(text, line.text)
      continue
    }
    const found = new Set(shapeOf(JSON.parse(text)))
    assert.deepEqual(
      shapeOf(JSON.parse(line.text)).filter((path) => !found.has(path)),
      [],
      text,
    )
  }
})
