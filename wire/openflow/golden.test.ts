import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'

import { ByteWriter } from './bytes.ts'
import type { RequestHeader } from './channel.ts'
import { writeFlowMod } from './flow-mod.ts'
import { GOLDEN_CASES, GOLDEN_MESSAGES } from './testing/golden-cases.ts'
import { GOLDEN_FILE, type GoldenBytes } from './testing/record-golden.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'

// The file is written by this repository's own recorder, and its system test compares it with the ovs-ofctl at hand.
const golden = JSON.parse(readFileSync(GOLDEN_FILE, 'utf8')) as readonly GoldenBytes[]

type Write = (writer: ByteWriter, header: RequestHeader) => void

function encoded(write: Write, version: OpenFlowVersion): string {
  const writer = new ByteWriter()
  write(writer, { version, xid: 0 })
  return writer.finish().toString('hex')
}

const cases: readonly { readonly text: string; readonly write: Write }[] = [
  ...GOLDEN_CASES.map(({ text, change }) => ({
    text,
    write: (writer: ByteWriter, header: RequestHeader) => writeFlowMod(writer, change, header),
  })),
  ...GOLDEN_MESSAGES,
]

suite('Messages are, byte for byte, what ovs-ofctl writes for the same thing', () => {
  test('the recording covers all cases in their order', () => {
    assert.deepEqual(
      golden.map(({ text }) => text),
      cases.map(({ text }) => text),
    )
  })

  for (const [index, { text, write }] of cases.entries()) {
    const bytes = golden[index]
    test(`OpenFlow 1.4: ${text}`, () => {
      assert.equal(encoded(write, VERSION_14), bytes?.openflow14)
    })
    test(`OpenFlow 1.5: ${text}`, () => {
      assert.equal(encoded(write, VERSION_15), bytes?.openflow15)
    })
  }
})
