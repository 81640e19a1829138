import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  destination,
  register,
  registerNames,
  source,
  whereRegisters,
  writeRegisters,
} from './registers.ts'

/** The 32-bit registers that a range of bits covers, as '<register>:<bit>'. */
function bitsOf(name: (typeof registerNames)[number]): string[] {
  const { field, from, to } = register(name)
  const wide = /^xreg(\d)$/.exec(field)?.[1]
  const number = Number(wide ?? field.slice('reg'.length))
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const bit = from + i
    if (wide === undefined) return `${number}:${bit}`
    // xreg0 is reg0 (high half) followed by reg1 (low half): ovs-fields(7).
    return bit < 32 ? `${number * 2 + 1}:${bit}` : `${number * 2}:${bit - 32}`
  })
}

test('no two names share a bit, and every range lies in its register', () => {
  const owners = new Map<string, string>()
  for (const name of registerNames) {
    const { field, from, to } = register(name)
    assert.ok(from >= 0 && from <= to && to < (field.startsWith('xreg') ? 64 : 32), name)
    for (const bit of bitsOf(name)) {
      assert.equal(owners.get(bit), undefined, `${name} and ${owners.get(bit)} share ${bit}`)
      owners.set(bit, name)
    }
  }
})

test('values of one register become one masked match; a whole register is matched exactly', () => {
  assert.deepEqual(
    whereRegisters({ network: 5000, source: source.port, destinationPort: 0xffff_ffff }),
    { reg0: { value: 5000 + 2 ** 24, mask: 0x3ff_ffff }, reg2: 0xffff_ffff },
  )
})

test('values of one register become one write that leaves the other bits alone', () => {
  assert.deepEqual(writeRegisters({ destination: destination.back, sourceSubnet: 0xc0a80000 }), [
    { type: 'setField', field: 'reg0', value: { value: 0x3000_0000, mask: 0x3000_0000 } },
    { type: 'setField', field: 'reg1', value: 0xc0a80000 },
  ])
})

test('a value that does not fit its bits is refused instead of spilling into the next name', () => {
  assert.throws(() => whereRegisters({ network: 2 ** 24 }), RangeError)
  assert.throws(() => writeRegisters({ source: 4 }), RangeError)
  assert.throws(() => writeRegisters({ destinationPort: -1 }), RangeError)
  assert.throws(() => writeRegisters({ destinationPort: 1.5 }), RangeError)
})
