// Proves that the packed kernel is cut out of a bzImage exactly, and that anything else is refused with a reason.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kernelPayload } from './kernel-image.ts'

/** A bzImage of one sector of setup beside the first, with `packed` at 16 bytes behind them. */
function bzImage(packed: Uint8Array, change: (image: Buffer) => void = () => undefined): Buffer {
  const image = Buffer.concat([Buffer.alloc(1_024 + 16), packed, Buffer.from('code after it')])
  image.writeUInt8(1, 0x1f1)
  image.write('HdrS', 0x202, 'latin1')
  image.writeUInt16LE(0x020f, 0x206)
  image.writeUInt32LE(16, 0x248)
  image.writeUInt32LE(packed.length, 0x24c)
  change(image)
  return image
}

const lz4 = Buffer.from('02214c18' + 'c0ffee', 'hex')
const packed = Buffer.concat([lz4, Buffer.from([0x10, 0x20, 0, 0])])

test('the payload is what the header says, without the size behind it', () => {
  const found = kernelPayload(bzImage(packed))
  assert.ok(lz4.equals(found.lz4))
  assert.equal(found.vmlinuxBytes, 0x2010)
})

test('what is no such image is refused', () => {
  assert.throws(() => kernelPayload(Buffer.alloc(0)), /no header/)
  assert.throws(() => kernelPayload(Buffer.alloc(4_096)), /no header/)
  assert.throws(
    () => kernelPayload(bzImage(packed, (image) => image.writeUInt16LE(0x207, 0x206))),
    /too old/,
  )
  assert.throws(
    () => kernelPayload(bzImage(packed).subarray(0, 1_045)),
    /cut short: it ends at 1045 of 1051/,
  )
  assert.throws(
    () => kernelPayload(bzImage(packed, (image) => image.writeUInt32LE(0, 0x24c))),
    /cut short/,
  )
  const gzip = Buffer.from('1f8b0800000000000000', 'hex')
  assert.throws(() => kernelPayload(bzImage(gzip)), /not packed with lz4/)
})
