// Proves the bytes of the first sector, and that numbers which it cannot hold are refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { masterBootRecord } from './partition-table.ts'

const bootCode = Buffer.alloc(440, 0x90)

test('one bootable FAT32 partition behind the boot code', () => {
  const sector = masterBootRecord({ bootCode, firstSector: 2_048, sectorCount: 96_256 })
  assert.equal(sector.length, 512)
  assert.ok(sector.subarray(0, 440).equals(bootCode))
  assert.equal(
    sector.subarray(440).toString('hex'),
    '000000000000' + '80feffff0cfeffff' + '00080000' + '00780100' + '00'.repeat(48) + '55aa',
  )
})

test('what does not fit is refused', () => {
  const right = { bootCode, firstSector: 2_048, sectorCount: 1 }
  for (const wrong of [
    { bootCode: Buffer.alloc(441) },
    { bootCode: Buffer.alloc(0) },
    { firstSector: 0 },
    { firstSector: 0.5 },
    { sectorCount: 2 ** 32 },
  ])
    assert.throws(() => masterBootRecord({ ...right, ...wrong }), RangeError)
})
