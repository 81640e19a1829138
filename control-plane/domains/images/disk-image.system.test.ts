// Proves, on the real qemu-img: disks of every kind become the same qcow2, what leads outside reads nothing even if our
// look at the header were blind, bombs are refused, and nothing runs or stays mounted afterwards.
import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isPlatformError } from '@nubo/base'
import { run } from '@nubo/runtime'
import { qcow2Disk, rawDisk, vmdkDisk } from '../../../tests/support/disk.ts'
import { openDisk } from './qemu-img.ts'
import { unpackUpload } from './unpack-upload.ts'
import type { UnpackedVm } from './vm-artifact.ts'

const signal = new AbortController().signal

function openFolder(context: TestContext): { folder: string; path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'nt-disk-'))
  context.after(() => {
    assert.ok(!readFileSync('/proc/mounts', 'utf8').includes(folder), 'nothing stays mounted')
    rmSync(folder, { recursive: true, force: true })
  })
  return { folder, path: join(folder, 'upload') }
}

async function unpack(context: TestContext, content: Uint8Array): Promise<UnpackedVm> {
  const { folder, path } = openFolder(context)
  writeFileSync(path, content)
  const unpacked = await unpackUpload(path, { folder, command: [], signal })
  assert.ok('vm' in unpacked)
  return unpacked
}

async function made(context: TestContext, argv: readonly string[]): Promise<Buffer> {
  const { folder } = openFolder(context)
  const source = join(folder, 'source')
  const target = join(folder, 'target')
  writeFileSync(source, rawDisk(32_768))
  await run({ argv: ['qemu-img', 'convert', '-f', 'raw', ...argv, source, target] })
  return readFileSync(target)
}

test('one disk, in whatever form, becomes one qcow2', async (t) => {
  const raw = rawDisk(32_768)
  const forms: Record<string, { source: string; content: Uint8Array }> = {
    'as it is': { source: 'raw', content: raw },
    'packed with gzip': { source: 'raw', content: gzipSync(raw) },
    'as qcow2': { source: 'qcow2', content: await made(t, ['-O', 'qcow2']) },
    'as compressed qcow2 of version 2': {
      source: 'qcow2',
      content: await made(t, ['-c', '-O', 'qcow2', '-o', 'compat=0.10']),
    },
    'as vmdk': { source: 'vmdk', content: await made(t, ['-O', 'vmdk']) },
    'as vmdk for streams': {
      source: 'vmdk',
      content: await made(t, ['-O', 'vmdk', '-o', 'subformat=streamOptimized']),
    },
  }
  const digests = new Set<string>()
  for (const [form, { source, content }] of Object.entries(forms)) {
    const image = await unpack(t, content)
    assert.equal(image.source, source, form)
    assert.deepEqual(image.vm, {
      kind: 'disk',
      format: 'qcow2',
      virtualBytes: raw.length,
      commandLine: null,
    })
    assert.equal(image.layers.length, 1)
    for (const { digest } of image.layers) digests.add(digest)
  }
  assert.equal(digests.size, 1)
})

test('the disk that comes out holds what went in, and names no other', async (t) => {
  const image = await unpack(t, rawDisk(32_768, 'a mark in the first partition'))
  const [layer] = image.layers
  assert.ok(layer)
  const back = `${layer.path}.raw`
  await run({ argv: ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', layer.path, back] })
  assert.deepEqual(readFileSync(back), rawDisk(32_768, 'a mark in the first partition'))
})

test('disks made by hand, for tests of what is wrong with them, are sound without it', async (t) => {
  for (const [source, content] of [
    ['qcow2', qcow2Disk()],
    ['vmdk', vmdkDisk()],
  ] as const)
    assert.equal((await unpack(t, content)).source, source)
})

/** A file that everybody on the host may read, and disks that lead to it. */
async function openSecret(t: TestContext) {
  const { folder, path: secret } = openFolder(t)
  chmodSync(folder, 0o755)
  const [backed, elsewhere] = [join(folder, 'backed'), join(folder, 'elsewhere')]
  const create = ['qemu-img', 'create', '-q', '-f', 'qcow2'] as const
  const options = `data_file=${secret},data_file_raw=on,preallocation=metadata`
  await run({ argv: [...create, '-o', options, elsewhere, '1M'] })
  writeFileSync(secret, 'a secret of the host'.repeat(2 ** 16).slice(0, 2 ** 20), { mode: 0o644 })
  await run({ argv: [...create, '-b', secret, '-F', 'raw', backed, '1M'] })
  return { 'a backing file': backed, 'a data file': elsewhere, folder }
}

test('even past our look at the header a disk reads no file of the host, and sees none', async (t) => {
  const { folder: hostFolder, ...hostile } = await openSecret(t)
  for (const [what, file] of Object.entries(hostile)) {
    const open = join(hostFolder, 'open.raw')
    await run({ argv: ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', file, open] })
    assert.ok(readFileSync(open).includes('a secret of the host'), `${what}: who sees it reads it`)
    const { folder, path } = openFolder(t)
    copyFileSync(file, path)
    const disk = await openDisk(path, { folder, format: 'qcow2', signal })
    const outcome = await disk.convert({ bytesMax: 2 ** 24 }).catch((error: unknown) => error)
    if (typeof outcome === 'string')
      assert.ok(!readFileSync(outcome).includes('a secret of the host'), what)
    else assert.ok(isPlatformError(outcome, 'IMAGE_BROKEN'), String(outcome))
  }
})

test('an address of the network leads nowhere', async (t) => {
  const { folder, path } = openFolder(t)
  writeFileSync(path, qcow2Disk({ backing: 'nbd://127.0.0.1:1' }))
  const disk = await openDisk(path, { folder, format: 'qcow2', signal })
  const file = await disk.convert({ bytesMax: 2 ** 24 })
  assert.ok(!readFileSync(file).includes('nbd:'), 'and is forgotten')
})

test('without its sandbox no disk is opened', async (t) => {
  const { folder, path } = openFolder(t)
  writeFileSync(path, rawDisk(2_048))
  // A program of this name that may make no namespaces.
  writeFileSync(join(folder, 'unshare'), '#!/bin/sh\necho not permitted >&2; exit 1\n', {
    mode: 0o755,
  })
  const before = process.env['PATH']
  process.env['PATH'] = `${folder}:${before}`
  t.after(() => (process.env['PATH'] = before))
  await assert.rejects(openDisk(path, { folder, format: 'raw', signal }), (error) => {
    assert.ok(isPlatformError(error, 'ENGINE_UNAVAILABLE'), String(error))
    assert.equal(error.details['cause'], 'not permitted')
    return true
  })
})

test('a vmdk that names a file of the host gets past nothing', async (t) => {
  const { folder, path } = openFolder(t)
  writeFileSync(
    path,
    '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n',
  )
  const disk = await openDisk(path, { folder, format: 'vmdk', signal })
  await assert.rejects(disk.virtualBytes(), (error) => isPlatformError(error, 'IMAGE_BROKEN'))
})

test('what it is not is never guessed: a raw disk that begins like another stays what its name says', async (t) => {
  const { folder, path } = openFolder(t)
  writeFileSync(path, qcow2Disk({ backing: '/etc/passwd' }))
  const disk = await openDisk(path, { folder, format: 'raw', signal })
  assert.equal(await disk.virtualBytes(), qcow2Disk().length)
})

test('a huge and empty disk passes, a small one that unpacks to much does not', async (t) => {
  const empty = await unpack(t, qcow2Disk({ virtualBytes: 512n << 20n }))
  assert.equal(empty.vm.virtualBytes, 512 * 2 ** 20)
  assert.ok((empty.layers[0]?.sizeBytes ?? Infinity) < 2 ** 20)
  const huge = openFolder(t)
  await run({ argv: ['qemu-img', 'create', '-q', '-f', 'qcow2', huge.path, '64T'] })
  const largest = await unpackUpload(huge.path, { folder: huge.folder, command: [], signal })
  assert.ok('vm' in largest)
  assert.equal(largest.vm.virtualBytes, 64 * 2 ** 40)
  assert.ok((largest.layers[0]?.sizeBytes ?? Infinity) < 2 ** 22)

  const { folder, path } = openFolder(t)
  const zeros = join(folder, 'zeros')
  writeFileSync(zeros, '')
  truncateSync(zeros, 128 * 2 ** 20)
  // One compressed cluster of zeros, to which all entries lead once they are stored and not left out.
  const argv = ['qemu-img', 'convert', '-f', 'raw', '-S', '0', '-c', '-O', 'qcow2', zeros, path]
  await run({ argv: ['qemu-img', ...argv.slice(1)] })
  assert.ok(statSync(path).size < 2 ** 22)
  await assert.rejects(unpackUpload(path, { folder, command: [], signal }), (error) => {
    assert.ok(isPlatformError(error, 'TOO_LARGE'), String(error))
    assert.match(String(error.details['limit']), /bytes/)
    assert.ok(Number(error.details['neededBytes']) >= 128 * 2 ** 20)
    return true
  })
})

test('a conversion that would write more than was measured is ended by its limit', async (t) => {
  const { folder, path } = openFolder(t)
  writeFileSync(path, Buffer.concat([rawDisk(2_048), Buffer.alloc(8 * 2 ** 20, 'x')]))
  const disk = await openDisk(path, { folder, format: 'raw', signal })
  await assert.rejects(disk.convert({ bytesMax: 2 ** 20 }), (error) =>
    isPlatformError(error, 'IMAGE_BROKEN'),
  )
})

test('a disk whose tables are rubbish is refused with the words of qemu-img', async (t) => {
  const disk = qcow2Disk()
  disk.fill(0xff, 65_536, 2 * 65_536)
  await assert.rejects(unpack(t, disk), (error) => {
    assert.ok(isPlatformError(error, 'IMAGE_BROKEN'), String(error))
    return true
  })
})
