import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from './errors.ts'
import type { Match } from './flow.ts'
import { matchKey } from './match-key.ts'
import { canonicalMatch, decodeKnownOxmFields, decodeMatch, encodeMatch } from './match.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'

function encoded(match: Match, version: OpenFlowVersion = VERSION_14): Buffer {
  const writer = new ByteWriter()
  encodeMatch(writer, match, version)
  return writer.finish()
}

suite('Matches', () => {
  test('prerequisites go in front of what needs them, in whatever order they are given', () => {
    const names = canonicalMatch({ tcpDst: 80, ipProto: 6, ipv4Dst: '10.0.0.1', ethType: 0x0800 })
    assert.deepEqual(
      names.map(({ spec }) => spec.name),
      ['ethType', 'ipv4Dst', 'ipProto', 'tcpDst'],
    )
  })

  test('a field without its prerequisite is refused before the switch has to', () => {
    const bad: readonly Match[] = [
      { tcpDst: 80 },
      { tcpDst: 80, ethType: 0x0800 },
      { tcpDst: 80, ethType: 0x0800, ipProto: 17 },
      { tcpDst: 80, ethType: 0x0800, ipProto: 6, ipFrag: 'later' },
      { ipv4Src: '10.0.0.1' },
      { ipv4Src: '10.0.0.1', ethType: 0x86dd },
      { arpOp: 1, ethType: 0x0800 },
      { icmpType: 8, ethType: 0x86dd, ipProto: 1 },
      { ipProto: 6 },
    ]
    for (const match of bad) assert.throws(() => canonicalMatch(match), OpenFlowEncodeError)
    assert.throws(
      () => canonicalMatch({ udpSrc: 1 }),
      /udpSrc can be matched only together with.*17/,
    )
  })

  test('a mask of zero is no match at all, a mask of ones is an exact one', () => {
    assert.equal(matchKey({ reg0: { value: 5, mask: 0 } }), matchKey({}))
    assert.equal(matchKey({ reg0: { value: 5, mask: 0xffffffff } }), matchKey({ reg0: 5 }))
  })

  test('an unknown field is refused', () => {
    // As untyped callers may do.
    const match = { colour: 5 } as Match
    assert.throws(() => canonicalMatch(match), /colour is no field/)
  })

  test('a pair of registers and the extended register are one thing', () => {
    assert.equal(matchKey({ xreg1: 0x0000_0001_0000_0002n }), matchKey({ reg2: 1, reg3: 2 }))
    assert.equal(matchKey({ xreg1: { value: 5n, mask: 0xffn } }), matchKey({ reg3: '5/0xff' }))
    assert.equal(
      matchKey({ xreg1: { value: 5n, mask: 0xffn }, reg3: '0x100/0x100' }),
      matchKey({ reg3: '0x105/0x1ff' }),
    )
    assert.throws(
      () => canonicalMatch({ xreg1: 5n, reg3: 6 }),
      /reg3 is wanted as two different values/,
    )
  })

  test('"no tag" is one thing, however its unused bits are given', () => {
    assert.equal(matchKey({ vlanTci: 0 }), matchKey({ vlanTci: '0x0/0x1fff' }))
    assert.throws(() => canonicalMatch({ vlanTci: '0x3000/0x3000' }), /priority/)
    assert.throws(() => canonicalMatch({ vlanTci: 0x2005 }), /priority/)
  })

  test('what was written is read back', () => {
    const match: Match = {
      inPort: 4,
      ethType: 0x0800,
      ipProto: 6,
      tcpDst: 80,
      tcpFlags: '+syn',
      reg4: 4,
      xreg3: 7n,

      ipv4Dst: '10.0.0.0/24',
      vlanTci: 0x7005,
      ctState: '+trk',
      tunFlags: 1,
      metadata: '5/0xff',
    }
    for (const version of [VERSION_14, VERSION_15] as const) {
      const bytes = encoded(match, version)
      assert.equal(bytes.length % 8, 0)
      const reader = new ByteReader(bytes)
      const back = decodeMatch(reader)
      assert.equal(reader.remaining, 0)
      assert.equal(matchKey(back), matchKey(match))
      assert.deepEqual(encoded(back, version), bytes)
    }
  })

  test('fields of others are told apart from broken ones', () => {
    // OXM_OF_MPLS_LABEL behind eth_type, then OXM_OF_IN_PORT with two bytes instead of four.
    const foreign = Buffer.from('0001000c8000440400000005' + '00000000', 'hex')
    assert.throws(() => decodeMatch(new ByteReader(foreign)), OpenFlowUnsupportedError)
    const broken = Buffer.from('0001000a8000000200050000' + '00000000', 'hex')
    assert.throws(
      () => decodeMatch(new ByteReader(broken)),
      (error) =>
        error instanceof OpenFlowDecodeError && !(error instanceof OpenFlowUnsupportedError),
    )
  })

  test('metadata of a packet is read around fields of others', () => {
    const fields = Buffer.from('80004404' + '00000005' + '80000004' + '00000007', 'hex')
    assert.deepEqual(decodeKnownOxmFields(new ByteReader(fields)), { inPort: 7 })
  })

  test('the packet type that Open vSwitch adds in OpenFlow 1.5 is Ethernet and says nothing', () => {
    const bytes = Buffer.from('0001000c' + '80005804' + '00000000' + '00000000', 'hex')
    assert.deepEqual(decodeMatch(new ByteReader(bytes)), {})
  })
})
