import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { bzImage, kernelTar } from '../../../tests/support/disk.ts'
import { sha256, tarOf } from '../../../tests/support/tar.ts'
import { kernelFormat } from './kernel-archive.ts'
import { unpackArchive } from './unpack.ts'

function unpack(context: TestContext, archive: Uint8Array) {
  const folder = mkdtempSync(join(tmpdir(), 'nt-krn-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'upload')
  writeFileSync(path, archive)
  return unpackArchive(path, folder, [])
}

test('a tar of a kernel, its first files and its command line is a kernel', async (t) => {
  const image = await unpack(t, kernelTar([{ name: './command-line', content: 'quiet ro\n' }]))
  assert.deepEqual(
    image.layers.map(({ digest }) => digest),
    [bzImage(), 'the first files'].map((content) => `sha256:${sha256(content)}`),
  )
  assert.ok('vm' in image)
  assert.equal(image.source, 'kernel')
  assert.deepEqual(image.vm, {
    kind: 'kernel',
    format: 'bzimage',
    virtualBytes: 0,
    commandLine: 'quiet ro',
  })
})

test('without a command line it speaks to the serial port; the folder that was packed may be named', async (t) => {
  const image = await unpack(
    t,
    tarOf([
      { name: './', type: '5' },
      { name: './initrd', content: 'x' },
      { name: './kernel', content: bzImage() },
    ]),
  )
  assert.ok('vm' in image)
  assert.equal(image.vm.commandLine, 'console=ttyS0')
})

test('a root file system that has a kernel is a root file system', async (t) => {
  for (const more of [
    { name: 'etc/hostname', content: 'x' },
    { name: 'vmlinuz', content: 'x' },
  ])
    assert.equal((await unpack(t, kernelTar([more]))).source, 'rootfs')
  const folders = tarOf([{ name: 'kernel/x', content: 'x' }])
  assert.equal((await unpack(t, folders)).source, 'rootfs')
})

const kernel = { name: 'kernel', content: bzImage() }
const broken = {
  'no initrd': tarOf([kernel]),
  'no kernel': tarOf([{ name: 'initrd', content: 'x' }]),
  'an empty initrd': tarOf([kernel, { name: 'initrd', content: '' }]),
  'a kernel twice': kernelTar([kernel]),
  'a kernel that is none': tarOf([
    { name: 'kernel', content: 'x'.repeat(4_096) },
    { name: 'initrd', content: 'x' },
  ]),
  'a kernel elsewhere': tarOf([
    { name: 'kernel', type: '2', linkName: '/boot/vmlinuz' },
    { name: 'initrd', content: 'x' },
  ]),
  'a command line of two': kernelTar([{ name: 'command-line', content: 'a\nb\n' }]),
  'a command line of other letters': kernelTar([{ name: 'command-line', content: 'é' }]),
  'a command line without end': kernelTar([{ name: 'command-line', content: 'x'.repeat(2_049) }]),
}
for (const [what, archive] of Object.entries(broken))
  test(`a kernel archive with ${what} is refused`, async (t) => {
    await assert.rejects(unpack(t, archive), (error) => {
      assert.ok(isPlatformError(error, 'IMAGE_BROKEN'), String(error))
      assert.equal(typeof error.details['next'], 'string')
      return true
    })
  })

test('a vmlinux for x86-64 is a kernel, one for another machine is not', () => {
  const elf = Buffer.alloc(64)
  elf.write('\x7fELF\x02\x01\x01', 0, 'latin1')
  elf.writeUInt16LE(2, 16)
  elf.writeUInt16LE(62, 18)
  assert.equal(kernelFormat(elf), 'elf')
  elf.writeUInt16LE(183, 18)
  assert.throws(() => kernelFormat(elf), /neither/)
  assert.throws(() => kernelFormat(Buffer.alloc(0)), /neither/)
})
