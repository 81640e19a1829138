// Proves that archives are those of cpio(5), to the byte and as cpio itself reads them, and that what Linux would not unpack is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProgramError, run } from '@nubo/runtime/process'
import { cpioArchive, type CpioEntry } from './cpio.ts'

const entries: readonly CpioEntry[] = [
  { at: 'folder', path: 'dev', mode: 0o755 },
  { at: 'device', path: 'dev/console', mode: 0o600, type: 'character', major: 5, minor: 1 },
  { at: 'device', path: 'dev/vda', mode: 0o660, type: 'block', major: 254, minor: 0 },
  { at: 'folder', path: 'tmp', mode: 0o1777 },
  { at: 'file', path: 'init', mode: 0o755, bytes: Buffer.from('#!/bin/sh\n') },
  { at: 'file', path: 'empty', mode: 0o644, bytes: Buffer.alloc(0) },
  { at: 'link', path: 'sh', target: 'bin/busybox' },
]

test('an archive has the bytes that the format says', () => {
  const archive = cpioArchive([
    { at: 'folder', path: 'dev', mode: 0o755 },
    { at: 'device', path: 'dev/console', mode: 0o600, type: 'character', major: 5, minor: 1 },
    { at: 'file', path: 'a', mode: 0o644, bytes: Buffer.from('hello') },
  ])
  const expected = [
    // magic, inode, mode, uid, gid, links, time, size, device ×2, of the node ×2, length of the name, checksum
    '070701' +
      '00000001' +
      '000041ed' +
      '00000000' +
      '00000000' +
      '00000002' +
      '00000000' +
      '00000000',
    '00000000' + '00000000' + '00000000' + '00000000' + '00000004' + '00000000' + 'dev\0' + '\0\0',
    '070701' +
      '00000002' +
      '00002180' +
      '00000000' +
      '00000000' +
      '00000001' +
      '00000000' +
      '00000000',
    '00000000' +
      '00000000' +
      '00000005' +
      '00000001' +
      '0000000c' +
      '00000000' +
      'dev/console\0' +
      '\0\0',
    '070701' +
      '00000003' +
      '000081a4' +
      '00000000' +
      '00000000' +
      '00000001' +
      '00000000' +
      '00000005',
    '00000000' +
      '00000000' +
      '00000000' +
      '00000000' +
      '00000002' +
      '00000000' +
      'a\0' +
      'hello\0\0\0',
    '070701' +
      '00000000' +
      '00000000' +
      '00000000' +
      '00000000' +
      '00000001' +
      '00000000' +
      '00000000',
    '00000000' +
      '00000000' +
      '00000000' +
      '00000000' +
      '0000000b' +
      '00000000' +
      'TRAILER!!!\0' +
      '\0\0\0',
  ].join('')
  assert.equal(archive.toString('latin1'), expected)
})

// Each listing says mode, owner, size or device, and name; cpio of GNU is not on every machine, busybox is.
for (const program of [['cpio'], ['busybox', 'cpio']] as const) {
  test(`${program.join(' ')} reads an archive as it was meant`, async (t) => {
    const argv = [...program, '-t', '-v'] as const
    const input = cpioArchive(entries)
    const listed = await run({ argv, input }).catch((error: unknown) => {
      if (error instanceof ProgramError && error.failure.at === 'spawn') return undefined
      throw error
    })
    if (listed === undefined) return t.skip(`no ${program[0]} on this machine`)
    const lines = listed.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/))
    const names = lines.map((words) => words.slice(words.indexOf('1970') + 1).join(' '))
    const owners = new Set(
      lines.flatMap((words) => words.filter((word) => /^(root|0|0\/0)$/.test(word))),
    )
    assert.ok(owners.size > 0)
    assert.deepEqual(
      lines.map(([mode]) => mode),
      [
        'drwxr-xr-x',
        'crw-------',
        'brw-rw----',
        'drwxrwxrwt',
        '-rwxr-xr-x',
        '-rw-r--r--',
        'lrwxrwxrwx',
      ],
    )
    for (const [at, entry] of entries.entries())
      assert.ok(names[at]?.includes(entry.path), names[at])
    assert.ok(names.at(-1)?.endsWith('sh -> bin/busybox'))
  })
}

test('what Linux would not unpack, or elsewhere, is refused', () => {
  const file = (path: string): CpioEntry => ({
    at: 'file',
    path,
    mode: 0o644,
    bytes: Buffer.alloc(1),
  })
  for (const path of ['/etc/passwd', '', '../up', 'a/../b', './a', 'a//b', 'a/', 'a\0b'])
    assert.throws(() => cpioArchive([file(path)]), RangeError, path)
  assert.throws(() => cpioArchive([file('a'.repeat(4_096))]), /4096 bytes/)
  assert.throws(() => cpioArchive([file('a'), file('a')]), /twice/)
  assert.throws(() => cpioArchive([file('etc/passwd')]), /etc must come before/)
  assert.throws(() => cpioArchive([file('etc'), file('etc/passwd')]), /etc must come before/)
})
