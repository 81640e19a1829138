import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'

import { ByteReader, ByteWriter } from './bytes.ts'
import { writeFlowMod } from './flow-mod.ts'
import type { Action, Flow } from './flow.ts'
import { formatFlow } from './format.ts'
import { flowsEqual } from './identity.ts'
import { decodeInstructions } from './instructions.ts'
import { decodeMatch } from './match.ts'
import { HEADER_BYTES } from './message.ts'
import { GOLDEN_CASES } from './testing/golden-cases.ts'
import { GOLDEN_FILE, recordFlowMods, recordGolden } from './testing/record-golden.ts'
import { SeededRandom, randomFlow } from './testing/random-flow.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'

function encoded(flow: Flow, version: OpenFlowVersion): string {
  const writer = new ByteWriter()
  writeFlowMod(writer, { type: 'add', flow }, { version, xid: 0 })
  return writer.finish().toString('hex')
}

suite('The ovs-ofctl of this machine', () => {
  test('writes what the committed recording says', async () => {
    const committed: unknown = JSON.parse(readFileSync(GOLDEN_FILE, 'utf8'))
    assert.deepEqual(await recordGolden(), committed)
  })

  test('understands our text of a flow as the very flow', async () => {
    const flows = GOLDEN_CASES.flatMap(({ change }) => (change.type === 'add' ? [change.flow] : []))
    for (const version of [VERSION_14, VERSION_15] as const) {
      const theirs = await recordFlowMods(
        version,
        flows.map((flow) => formatFlow(flow)),
      )
      for (const [index, flow] of flows.entries()) {
        assert.equal(theirs[index], encoded(flow, version), formatFlow(flow))
      }
    }
  })

  test('understands our text of random flows as flows equal to them', async () => {
    const flows = Array.from({ length: 400 }, (_, seed) => randomFlow(new SeededRandom(seed + 1)))
    const theirs = await recordFlowMods(
      VERSION_15,
      flows.map((flow) => formatFlow(flow)),
    )
    for (const [index, random] of flows.entries()) {
      const flow = { ...random, actions: random.actions.map(withoutLength) }
      assert.ok(flowsEqual(decoded(theirs[index] ?? ''), flow), formatFlow(flow))
    }
  })
})

/** The text of an output to a register has no place for its length. */
function withoutLength(action: Action): Action {
  if (action.type !== 'output' || typeof action.port !== 'object') return action
  return { type: 'output', port: action.port }
}

/** The flow inside an OFPT_FLOW_MOD that adds one. */
function decoded(hex: string): Flow {
  const reader = new ByteReader(Buffer.from(hex, 'hex'))
  reader.skip(HEADER_BYTES)
  const cookie = reader.u64()
  reader.skip(8)
  const table = reader.u8()
  reader.skip(1)
  const idleTimeoutSeconds = reader.u16()
  const hardTimeoutSeconds = reader.u16()
  const priority = reader.u16()
  reader.skip(12)
  const sendFlowRemoved = reader.u16() === 1
  reader.skip(2)
  const match = decodeMatch(reader)
  return {
    table,
    priority,
    cookie,
    match,
    actions: decodeInstructions(reader),
    idleTimeoutSeconds,
    hardTimeoutSeconds,
    sendFlowRemoved,
  }
}
