import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { decodeActions, type ListedAction } from './actions.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from './errors.ts'
import type { Action } from './flow.ts'
import { formatActions } from './format.ts'
import { decodeInstructions, encodeInstructions } from './instructions.ts'
import { VERSION_14, VERSION_15 } from './version.ts'

function refused(action: Action, message: RegExp): void {
  for (const version of [VERSION_14, VERSION_15] as const) {
    const encode = (): void => encodeInstructions(new ByteWriter(), [action], version)
    assert.throws(encode, OpenFlowEncodeError)
    assert.throws(encode, message)
  }
}

function decoded(hex: string): readonly ListedAction[] {
  return decodeActions(new ByteReader(Buffer.from(hex, 'hex')))
}

suite('Actions', () => {
  test('an action that makes no sense is refused before anything is sent', () => {
    refused({ type: 'output', port: 70_000 }, /port 70000/)
    refused(
      { type: 'output', port: { field: 'reg0', from: 0, to: 32 } },
      /reg0 has no bits 0\.\.32/,
    )
    refused({ type: 'output', port: 'controller', maxLength: 70_000 }, /maxLength/)
    refused({ type: 'setField', field: 'ethType', value: 0x0800 }, /cannot|not changed/)
    refused({ type: 'setField', field: 'reg0', value: { value: 1, mask: 0 } }, /no bits/)
    refused({ type: 'setField', field: 'tcpDst', value: 70_000 }, /16 bits/)
    refused(
      { type: 'load', value: 16, to: { field: 'reg0', from: 0, to: 3 } },
      /does not fit the 4 bits/,
    )
    refused({ type: 'load', value: -1, to: { field: 'reg0', from: 0, to: 3 } }, /does not fit/)
    refused({ type: 'load', value: 1, to: { field: 'reg0', from: 4, to: 3 } }, /no bits 4\.\.3/)
    refused({ type: 'load', value: 1, to: { field: 'ctState', from: 0, to: 3 } }, /not changed/)
    refused(
      {
        type: 'move',
        from: { field: 'reg0', from: 0, to: 3 },
        to: { field: 'reg1', from: 0, to: 4 },
      },
      /4 bits of reg0 do not fit 5 of reg1/,
    )
    refused(
      {
        type: 'move',
        from: { field: 'reg0', from: 0, to: 7 },
        to: { field: 'ipProto', from: 0, to: 7 },
      },
      /not changed/,
    )
    refused({ type: 'resubmit', table: 256 }, /no table 256/)
    refused({ type: 'resubmit', table: 255 }, /no end/)
    refused({ type: 'controller', reason: 99 }, /reason 99/)
    refused({ type: 'controller', maxLength: -1 }, /maxLength/)
    refused({ type: 'goto', table: 255 }, /no table 255/)
    refused({ type: 'controller', userdata: new Uint8Array(70_000) }, /16-bit length/)
  })

  test('goto is the last action and there is one', () => {
    const encode = (actions: readonly Action[]) => (): void =>
      encodeInstructions(new ByteWriter(), actions, VERSION_14)
    assert.throws(encode([{ type: 'goto', table: 1 }, { type: 'decTtl' }]), /last/)
    assert.throws(
      encode([
        { type: 'goto', table: 1 },
        { type: 'goto', table: 2 },
      ]),
      /last/,
    )
  })

  test('older forms of Open vSwitch are understood', () => {
    // NXAST_RESUBMIT to port 5.
    assert.deepEqual(decoded('ffff0010000023200001000500000000'), [
      { type: 'resubmit', table: 255, inPort: 5 },
    ])
    // NXAST_OUTPUT_REG2 of reg3[0..15].
    assert.equal(
      formatActions(decoded('ffff0018000023200020000fffff00010604000000000000')),
      'output:NXM_NX_REG3[0..15]',
    )
    // NXAST_REG_LOAD2 of reg0 = 5/0xff.
    assert.equal(
      formatActions(decoded('ffff0018000023200021000101080000000500' + '0000ff0000')),
      'set_field:0x5/0xff->reg0',
    )
  })

  test('actions of others are told apart from broken ones', () => {
    // A group, Nicira's ct, another experimenter.
    for (const hex of [
      '0016000800000001',
      'ffff00180000232000230001000000000000ff0000000000',
      'ffff00104f4e4600' + '0c80000000000000',
    ]) {
      assert.throws(() => decoded(hex), OpenFlowUnsupportedError, hex)
    }
    // Too short, not a multiple of eight, cut, a port that is none, padding where there should be none.
    for (const hex of [
      '0018000400000000',
      '0000000c000000010000000000000000',
      '00000010000000010000',
      '0000001012345678ffff000000000000',
      '001800100000000000000000' + '00000000',
    ]) {
      assert.throws(
        () => decoded(hex),
        (error) =>
          error instanceof OpenFlowDecodeError && !(error instanceof OpenFlowUnsupportedError),
        hex,
      )
    }
  })

  test('instructions of others are told apart from broken ones', () => {
    const read = (hex: string) => (): unknown =>
      decodeInstructions(new ByteReader(Buffer.from(hex, 'hex')))
    assert.throws(read('0005000800000000'), OpenFlowUnsupportedError)
    assert.throws(read('0001000400000000'), OpenFlowDecodeError)
    assert.throws(read('00010008ff000000'), OpenFlowDecodeError)
    assert.throws(read('00010008010000000001000802000000'), /twice/)
  })
})
