import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError } from './errors.ts'
import { writeFlowMod } from './flow-mod.ts'
import { decodeFlowRemoved } from './flow-removed.ts'
import { decodeFlows } from './flow-stats.ts'
import type { Flow } from './flow.ts'
import { formatFlow } from './format.ts'
import { actionsKey, flowKey, flowsEqual } from './identity.ts'
import { matchKey } from './match-key.ts'
import { decodeInstructions } from './instructions.ts'
import { decodeMatch } from './match.ts'
import { readMessage } from './message.ts'
import { decodePacketIn2 } from './packet-in.ts'
import { decodePortDescriptions, decodePortStats, decodePortStatus } from './port-messages.ts'
import { SeededRandom, randomFlow } from './testing/random-flow.ts'
import { writeFlowEntry } from './testing/switch-messages.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'

const VERSIONS = [VERSION_14, VERSION_15] as const
const FLOW_MOD_MATCH_OFFSET = 40

interface Parts {
  readonly match: Buffer
  readonly instructions: Buffer
}

/** Where match and instructions lie in an encoded flow-mod. */
function parts(flow: Flow, version: OpenFlowVersion): Parts {
  const writer = new ByteWriter()
  writeFlowMod(writer, { type: 'add', flow }, { version, xid: 1 })
  const { body } = readMessage(writer.finish())
  const rest = body.subarray(FLOW_MOD_MATCH_OFFSET)
  const matchBytes = Math.ceil(rest.readUInt16BE(2) / 8) * 8
  return { match: rest.subarray(0, matchBytes), instructions: rest.subarray(matchBytes) }
}

suite('Encoding and decoding are each other’s inverse', () => {
  test('2,000 random flows come back equal, and their match encodes to the same bytes again', () => {
    for (let seed = 1; seed <= 2000; seed += 1) {
      const flow = randomFlow(new SeededRandom(seed))
      for (const version of VERSIONS) {
        const bytes = parts(flow, version)
        const back: Flow = {
          ...flow,
          match: decodeMatch(new ByteReader(bytes.match)),
          actions: decodeInstructions(new ByteReader(bytes.instructions)),
        }
        assert.equal(flowKey(back), flowKey(flow), `seed ${seed}`)
        assert.ok(flowsEqual(back, flow), `seed ${seed}: ${formatFlow(flow)} | ${formatFlow(back)}`)
        assert.deepEqual(parts(back, version).match, bytes.match, `seed ${seed}`)
      }
    }
  })

  test('a dump in either version holds the flows that went in', () => {
    const flows = Array.from({ length: 300 }, (_, seed) => randomFlow(new SeededRandom(seed)))
    for (const version of VERSIONS) {
      const writer = new ByteWriter()
      for (const flow of flows) writeFlowEntry(writer, flow, version)
      const dumped = decodeFlows(new ByteReader(writer.finish()), version)
      assert.equal(dumped.length, flows.length)
      for (const [index, entry] of dumped.entries()) {
        const flow = flows[index]
        assert.ok(flow !== undefined && 'flow' in entry)
        assert.ok(flowsEqual(entry.flow, flow), formatFlow(flow))
        assert.deepEqual(entry.counters, { packets: 3n, bytes: 180n, durationMs: 5007 })
      }
    }
  })
})

type Decode = (bytes: Buffer) => void

const readMatch: Decode = (bytes) => void matchKey(decodeMatch(new ByteReader(bytes)))
const readInstructions: Decode = (bytes) => {
  actionsKey(decodeInstructions(new ByteReader(bytes)))
}

const decoders: { readonly [name: string]: Decode } = {
  match: readMatch,
  instructions: readInstructions,
  flows14: (bytes) => readDump(bytes, VERSION_14),
  flows15: (bytes) => readDump(bytes, VERSION_15),
  flowRemoved14: (bytes) => void decodeFlowRemoved(bytes, VERSION_14),
  flowRemoved15: (bytes) => void decodeFlowRemoved(bytes, VERSION_15),
  packetIn: (bytes) => void decodePacketIn2(new ByteReader(bytes)),
  ports: (bytes) => void decodePortDescriptions(new ByteReader(bytes)),
  portStats: (bytes) => void decodePortStats(new ByteReader(bytes)),
  portStatus: (bytes) => void decodePortStatus(bytes),
}

/** What we read we can say again: a dumped flow always has a key and a text. */
function readDump(bytes: Buffer, version: OpenFlowVersion): void {
  for (const entry of decodeFlows(new ByteReader(bytes), version)) {
    if ('flow' in entry) formatFlow(entry.flow)
    else if (entry.match !== undefined) matchKey(entry.match)
  }
}

function survives(decode: Decode, bytes: Buffer, what: string): void {
  try {
    decode(bytes)
  } catch (error) {
    if (error instanceof OpenFlowDecodeError) return
    throw new Error(`${what}: ${bytes.toString('hex')}`, { cause: error })
  }
}

function damaged(random: SeededRandom, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  if (random.chance(0.3)) return copy.subarray(0, random.below(copy.length + 1))
  for (let flips = 1 + random.below(4); flips > 0 && copy.length > 0; flips -= 1) {
    const at = random.below(copy.length)
    copy.writeUInt8(copy.readUInt8(at) ^ (1 << random.below(8)), at)
  }
  return copy
}

suite('Damaged bytes give a typed error and nothing else', () => {
  test('matches, instructions and dumps that were cut or had bits flipped', () => {
    const random = new SeededRandom(4711)
    for (let round = 0; round < 6000; round += 1) {
      const flow = randomFlow(random)
      const version = random.pick(VERSIONS)
      const { match, instructions } = parts(flow, version)
      survives(readMatch, damaged(random, match), 'match')
      survives(readInstructions, damaged(random, instructions), 'instructions')
      const writer = new ByteWriter()
      writeFlowEntry(writer, flow, version)
      const dump = damaged(random, writer.finish())
      survives((bytes) => readDump(bytes, version), dump, 'flows')
    }
  })

  test('random bytes in every decoder', () => {
    const random = new SeededRandom(815)
    for (const [name, decode] of Object.entries(decoders)) {
      for (let round = 0; round < 2000; round += 1) {
        const bytes = Buffer.from(random.bytes(random.below(120)))
        survives(decode, bytes, name)
      }
    }
  })
})
