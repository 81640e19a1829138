import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { OpenFlowEncodeError } from './errors.ts'
import { formatFieldValue, parseFieldValue, parseIpv4, parseMac } from './field-value.ts'
import { FIELDS, fieldSpec, type FieldSpec } from './fields.ts'
import type { FieldName, FieldValue } from './flow.ts'
import { SeededRandom } from './testing/random-flow.ts'

function spec(name: FieldName): FieldSpec {
  const found = fieldSpec(name)
  assert.ok(found)
  return found
}

function parsed(name: FieldName, value: FieldValue): readonly [bigint, bigint] {
  const masked = parseFieldValue(spec(name), value)
  return [masked.value, masked.mask]
}

suite('Values of fields', () => {
  test('all forms of a value end in the same bits', () => {
    const ones = 0xffff_ffffn
    for (const value of [0x0a000001, 0x0a000001n, '10.0.0.1', '10.0.0.1/32']) {
      assert.deepEqual(parsed('ipv4Src', value), [0x0a000001n, ones])
    }
    assert.deepEqual(parsed('reg0', '0x10/0xf0'), [0x10n, 0xf0n])
    assert.deepEqual(parsed('reg0', { value: 0x10, mask: 0xf0 }), [0x10n, 0xf0n])
    assert.deepEqual(parsed('reg0', { value: 0x10n, mask: 0xf0n }), [0x10n, 0xf0n])
    assert.deepEqual(parsed('ethDst', '0A:00:00:00:00:01'), [0x0a0000000001n, 0xffff_ffff_ffffn])
  })

  test('bits outside the mask are dropped, so that an address may be given with its prefix', () => {
    assert.deepEqual(parsed('ipv4Dst', '10.0.0.7/24'), [0x0a000000n, 0xffffff00n])
    assert.deepEqual(parsed('ipv4Dst', '10.0.0.7/0'), [0n, 0n])
    assert.deepEqual(parsed('ipv4Dst', '10.0.0.7/255.0.0.255'), [0x0a000007n, 0xff0000ffn])
  })

  test('flags are named as ovs-ofctl names them', () => {
    assert.deepEqual(parsed('ctState', '+trk-new'), [0x20n, 0x21n])
    assert.deepEqual(parsed('ctState', 'trk|est'), [0x22n, 0xffn])
    assert.deepEqual(parsed('tcpFlags', '+syn-ack'), [0x02n, 0x12n])
    assert.deepEqual(parsed('tunFlags', 'oam'), [1n, 1n])
    assert.deepEqual(parsed('ipFrag', 'not_later'), [0n, 2n])
  })

  test('reserved ports may be given by name or in 16 bits', () => {
    assert.deepEqual(parsed('inPort', 'local'), [0xfffffffen, 0xffff_ffffn])
    assert.deepEqual(parsed('inPort', 'LOCAL'), [0xfffffffen, 0xffff_ffffn])
    assert.deepEqual(parsed('inPort', 0xfffe), [0xfffffffen, 0xffff_ffffn])
    assert.deepEqual(parsed('inPort', '65534'), [0xfffffffen, 0xffff_ffffn])
    assert.deepEqual(parsed('inPort', 7), [7n, 0xffff_ffffn])
  })

  test('what a field cannot hold is refused, and the error names field and value', () => {
    const bad: readonly (readonly [FieldName, FieldValue, RegExp])[] = [
      ['tcpDst', 65_536, /tcpDst.*65536.*16 bits/],
      ['reg0', -1, /reg0.*-1/],
      ['reg0', 1.5, /reg0.*1\.5/],
      ['reg0', Number.NaN, /reg0/],
      ['reg0', 2 ** 53, /reg0/],
      ['reg0', '', /reg0/],
      ['reg0', '5/6/7', /more than one mask/],
      ['reg0', '0x1ffffffff', /32 bits/],
      ['reg0', { value: 0, mask: 0x1_0000_0000 }, /mask wider/],
      ['ipv4Src', '10.0.0.256', /ipv4Src/],
      ['ipv4Src', '10.0.0.0/33', /mask/],
      ['ethSrc', '0a:00:00:00:00', /ethSrc/],
      ['ctState', '+nonsense', /no flag "nonsense"/],
      ['ctState', '+trk-trk', /twice/],
      ['ipFrag', 'sometimes', /ipFrag/],
      ['inPort', 0x10000, /port 65536/],
      ['ethType', { value: 0x0800, mask: 0xff00 }, /exactly or not at all/],
      ['inPort', { value: 1, mask: 1 }, /exactly or not at all/],
    ]
    for (const [name, value, message] of bad) {
      assert.throws(() => parsed(name, value), OpenFlowEncodeError, name)
      assert.throws(() => parsed(name, value), message)
    }
  })

  test('what is printed is read back as the same bits, for every field', () => {
    for (const field of FIELDS) {
      const ones = (1n << BigInt(field.bits)) - 1n
      for (const value of [0n, 1n, ones]) {
        if (field.text === 'port' && value === 0n) continue
        const text = formatFieldValue(field, { value, mask: ones })
        if (text.includes('[')) continue
        assert.deepEqual(
          parseFieldValue(field, text),
          { value, mask: ones },
          `${field.name} ${text}`,
        )
      }
    }
  })
})

suite('The table of fields', () => {
  test('no two fields share a number or a name', () => {
    const seen = new Set<string>()
    for (const { name, oxm15, subfieldName } of FIELDS) {
      for (const key of [name, subfieldName, `${oxm15.class}:${oxm15.field}`]) {
        assert.ok(!seen.has(key), key)
        seen.add(key)
      }
    }
  })

  test('fields come behind what they need, because a switch reads a match from the front', () => {
    const at = (name: string): number => FIELDS.findIndex((field) => field.name === name)
    for (const { name, needs } of FIELDS) {
      if (needs !== 'none') assert.ok(at('ethType') < at(name), name)
      if (needs === 'tcp' || needs === 'udp' || needs === 'icmp')
        assert.ok(at('ipProto') < at(name), name)
    }
  })
})

test('addresses are read by their form alone, and what has not that form is none', () => {
  const random = new SeededRandom(7)
  const agrees = (text: string): void => {
    const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number)
    const isIpv4 = octets?.every((octet) => octet <= 255) === true
    const ipv4 = isIpv4 ? octets.reduce((sum, octet) => sum * 256 + octet, 0) : undefined
    assert.equal(parseIpv4(text), ipv4, text)
    const isMac = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)
    const mac = isMac ? Number(`0x${text.replaceAll(':', '')}`) : undefined
    assert.equal(parseMac(text), mac, text)
  }
  const good = [
    '10.0.0.1',
    '255.255.255.255',
    '001.02.3.0',
    '0A:bC:de:F0:12:ff',
    'ff:ff:ff:ff:ff:ff',
  ]
  const others = ['', '.', '1.2.3', '1.2.3.4.', '.1.2.3', '1..2.3', '256.0.0.1', '0001.2.3.4']
  for (const text of [...good, ...others]) agrees(text)
  // What counts, its neighbours, and a digit of another script.
  const letters = '0129afgAFG/:.@`[{ -١'.split('')
  for (let round = 0; round < 5_000; round++) {
    const from = random.pick(good)
    const at = random.below(from.length)
    const cut = random.below(3)
    agrees(from.slice(0, at) + random.pick(letters) + from.slice(at + cut))
  }
})
