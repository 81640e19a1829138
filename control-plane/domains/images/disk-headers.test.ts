// Proves that a disk which leads outside of its file, claims what cannot be, or is damaged is refused by our own look
// at its first bytes, before any other program opens it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, isPlatformError, seededRandom } from '@nubo/base'
import { qcow2Disk, rawDisk, vmdkDisk, SECTOR_BYTES } from '../../../tests/support/disk.ts'
import { rootfsTar, tarOf } from '../../../tests/support/tar.ts'
import { diskFormatOf, VIRTUAL_BYTES_MAX } from './disk-format.ts'
import { checkQcow2Header } from './qcow2-header.ts'
import { checkVmdkHeader } from './vmdk-header.ts'

const formatOf = (file: Buffer) => diskFormatOf(file.subarray(0, 8_192), file.length)
const qcow2 = (file: Buffer) => checkQcow2Header(file, file.length)
const vmdk = (file: Buffer) => checkVmdkHeader(file, file.length)

function refuses(check: () => unknown, words: RegExp): void {
  assert.throws(check, (error) => {
    assert.ok(isPlatformError(error, 'IMAGE_BROKEN'), String(error))
    assert.match(error.message, words)
    assert.equal(typeof error.details['next'], 'string', 'what to do is said')
    return true
  })
}

test('a disk is known by its first bytes', () => {
  assert.equal(formatOf(qcow2Disk()), 'qcow2')
  assert.equal(formatOf(vmdkDisk()), 'vmdk')
  assert.equal(formatOf(rawDisk()), 'raw')
  for (const sectorBytes of [512, 4_096]) {
    const gpt = Buffer.alloc(65_536)
    gpt.write('EFI PART', sectorBytes)
    assert.equal(formatOf(gpt), 'raw')
  }
  const protective = rawDisk()
  protective[450] = 0xee
  protective.writeUInt32LE(0xffff_ffff, 458)
  assert.equal(formatOf(protective), 'raw')
})

test('what is no disk is none: archives, text, a boot sector without partitions or with senseless ones', () => {
  for (const file of [rootfsTar(), Buffer.from('text'), Buffer.alloc(0), Buffer.alloc(8_192)])
    assert.equal(formatOf(file), undefined)
  for (const name of ['KDMV', 'QED', 'COWD', 'BZh', '# Disk DescriptorFile'])
    assert.equal(formatOf(tarOf([{ name, content: 'a file of this name' }])), undefined, name)
  const without = rawDisk()
  without.fill(0, 446, 510)
  const senseless = rawDisk()
  senseless[446] = 0x17
  const empty = rawDisk()
  empty.writeUInt32LE(0, 458)
  for (const disk of [without, senseless, empty]) assert.equal(formatOf(disk), undefined)
})

test('disks that are cut short, described elsewhere or of other makers are refused by name', () => {
  const whole = rawDisk()
  refuses(() => formatOf(whole.subarray(0, whole.length - SECTOR_BYTES)), /cut short: partition 1/)
  refuses(() => formatOf(Buffer.from('# Disk DescriptorFile\nversion=1\n')), /other files/)
  refuses(() => formatOf(Buffer.from('vhdxfile----')), /VHDX/)
  refuses(() => formatOf(Buffer.from('\xfd7zXZ\0', 'latin1')), /xz/)
})

test('a sound qcow2 of either version passes, up to the largest size', () => {
  assert.equal(qcow2(qcow2Disk()).virtualBytes, 16 * 2 ** 20)
  assert.equal(qcow2(qcow2Disk({ version: 2 })).virtualBytes, 16 * 2 ** 20)
  const largest = { virtualBytes: BigInt(VIRTUAL_BYTES_MAX) }
  assert.equal(qcow2(qcow2Disk(largest)).virtualBytes, VIRTUAL_BYTES_MAX)
  // Dirty, another compression, extended L2 entries; the names of features.
  qcow2(qcow2Disk({ incompatible: 0b11001n, extensions: [[0x6803f857, 'names']] }))
})

const hostileQcow2: readonly (readonly [what: string, file: Buffer, words: RegExp])[] = [
  ['a backing file', qcow2Disk({ backing: '/etc/passwd' }), /backing file/],
  ['a backing file, version 2', qcow2Disk({ version: 2, backing: 'nbd://10.0.0.1' }), /backing/],
  ['a data file', qcow2Disk({ incompatible: 4n }), /data in another file/],
  ['a named data file', qcow2Disk({ extensions: [[0x44415441, '/etc/shadow']] }), /holds its data/],
  ['1 EiB', qcow2Disk({ virtualBytes: 1n << 60n }), /claims a size of 1152921504606846976/],
  ['one byte too much', qcow2Disk({ virtualBytes: (64n << 40n) + 1n }), /claims a size/],
  ['no byte', qcow2Disk({ virtualBytes: 0n }), /claims a size of 0/],
  ['encryption', qcow2Disk({ encryption: 2 }), /encrypted/],
  ['a key store', qcow2Disk({ extensions: [[0x0537be77, 'sixteen bytes...']] }), /encrypted/],
  ['the mark of corruption', qcow2Disk({ incompatible: 2n }), /corrupt/],
  ['features of tomorrow', qcow2Disk({ incompatible: 1n << 40n }), /not known \(0x10000000000\)/],
  ['version 4', qcow2Disk({ version: 4 }), /version 4/],
  ['tiny clusters', qcow2Disk({ clusterBits: 8 }), /2\^8/],
  ['huge clusters', qcow2Disk({ clusterBits: 31 }), /2\^31/],
  ['a short header', qcow2Disk({ headerBytes: 96 }), /header has 96/],
  ['an odd header', qcow2Disk({ headerBytes: 107 }), /header has 107/],
  ['tables elsewhere', qcow2Disk({ l1Offset: 1n << 50n }), /L1 table/],
  ['tables askew', qcow2Disk({ l1Offset: 65_537n }), /L1 table/],
]
for (const [what, file, words] of hostileQcow2)
  test(`a qcow2 with ${what} is refused`, () => refuses(() => qcow2(file), words))

test('a sound vmdk passes', () => {
  assert.equal(vmdk(vmdkDisk()).virtualBytes, 16 * 2 ** 20)
  assert.equal(vmdk(vmdkDisk({ createType: 'streamOptimized', version: 3 })).virtualBytes, 2 ** 24)
})

const hostileVmdk: readonly (readonly [what: string, file: Buffer, words: RegExp])[] = [
  ['an extent on the host', vmdkDisk({ extents: ['RW 1 SPARSE "/etc/passwd"'] }), /another file/],
  ['a flat extent', vmdkDisk({ extents: ['RW 32768 FLAT "disk-flat.vmdk" 0'] }), /extents/],
  ['no extent', vmdkDisk({ extents: [] }), /0 extents/],
  [
    'two extents',
    vmdkDisk({ extents: ['RW 1 SPARSE "a.vmdk"', 'RW 1 SPARSE "b.vmdk"'] }),
    /2 extents/,
  ],
  ['a kind that names files', vmdkDisk({ createType: 'monolithicFlat' }), /monolithicFlat/],
  ['a device of the host', vmdkDisk({ createType: 'fullDevice' }), /fullDevice/],
  ['a parent', vmdkDisk({ parentCid: '5585ba0a' }), /parent/],
  ['a parent behind the end', vmdkDisk({ tail: 'parentFileNameHint="/etc/passwd"' }), /parent/],
  ['no size, so that its text counts', vmdkDisk({ capacitySectors: 0n }), /size of 0/],
  ['1 EiB', vmdkDisk({ capacitySectors: 1n << 51n }), /size of 1152921504606846976/],
  ['its text elsewhere', vmdkDisk({ descriptorSector: 30n }), /no description where it belongs/],
  ['no text', vmdkDisk({ descriptorSector: 0n }), /no description/],
  ['version 9', vmdkDisk({ version: 9 }), /version 9/],
]
for (const [what, file, words] of hostileVmdk)
  test(`a vmdk with ${what} is refused`, () => refuses(() => vmdk(file), words))

test('whatever the bytes, the answer is a disk or IMAGE_BROKEN, and sizes are within bounds', () => {
  const sound = [qcow2Disk().subarray(0, 1_024), vmdkDisk().subarray(0, 4_096)]
  const random = seededRandom(20_250_101)
  const below = (bound: number) => integerBelow(random, bound)
  for (let round = 0; round < 20_000; round++) {
    const [check, base] = round % 2 === 0 ? [qcow2, sound[0]] : [vmdk, sound[1]]
    const file = Buffer.from(base ?? '')
    for (let flips = below(8); flips >= 0; flips--) {
      // The first bytes and those of the text decide the most.
      const at = below(below(2) === 0 ? 128 : file.length)
      if (at >= 4) file[at] = below(256)
    }
    const cut = below(4) === 0 ? file.subarray(0, below(file.length)) : file
    const fileBytes = cut === file ? 262_144 : cut.length
    try {
      const { virtualBytes } = (check === qcow2 ? checkQcow2Header : checkVmdkHeader)(
        cut,
        fileBytes,
      )
      assert.ok(virtualBytes >= 1 && virtualBytes <= VIRTUAL_BYTES_MAX, `round ${round}`)
    } catch (error) {
      if (!isPlatformError(error, 'IMAGE_BROKEN')) throw error
    }
  }
})

test('every cut of a header is refused, at each byte', () => {
  const cuts = [
    [qcow2Disk(), 104, checkQcow2Header],
    [vmdkDisk(), 21 * SECTOR_BYTES, checkVmdkHeader],
  ] as const
  for (const [file, wholeBytes, check] of cuts)
    for (let bytes = 0; bytes < wholeBytes; bytes++) {
      const cut = file.subarray(0, bytes)
      assert.throws(
        () => check(cut, bytes),
        (error) => isPlatformError(error, 'IMAGE_BROKEN'),
        `${bytes} bytes`,
      )
    }
})
