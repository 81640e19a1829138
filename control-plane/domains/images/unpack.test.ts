// Proves that layers are bounded all together, and that a layer which is named twice is unpacked once.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isPlatformError } from '@nubo/base'
import { dockerArchive, ociLayout, rootfsTar, sha256 } from '../../../tests/support/tar.ts'
import { unpackArchive } from './unpack.ts'

function put(context: TestContext, archive: Uint8Array): { path: string; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'nt-unp-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'upload')
  writeFileSync(path, archive)
  return { path, folder }
}

const plain = ['one', 'two', 'three'].map((mark) => rootfsTar(mark))
const zipped = plain.map((layer) => gzipSync(layer))
const total = plain.reduce((sum, layer) => sum + layer.length, 0)

for (const [kind, archive] of [
  ['docker archive', dockerArchive(zipped)],
  ['OCI layout', ociLayout(zipped)],
] as const) {
  test(`${kind}: many layers that each stay below the limit do not pass it together`, async (t) => {
    const { path, folder } = put(t, archive)
    const image = await unpackArchive(path, folder, [], total)
    assert.deepEqual(
      image.layers.map((layer) => layer.digest),
      plain.map((layer) => `sha256:${sha256(layer)}`),
    )
    const again = put(t, archive)
    await assert.rejects(unpackArchive(again.path, again.folder, [], total - 1), (error) =>
      isPlatformError(error, 'TOO_LARGE'),
    )
  })

  test(`${kind}: a layer that is named several times is unpacked once`, async (t) => {
    const [layer = Buffer.alloc(0)] = zipped
    const [content = Buffer.alloc(0)] = plain
    const repeated = [layer, layer, layer, layer]
    const { path, folder } = put(
      t,
      kind === 'OCI layout' ? ociLayout(repeated) : dockerArchive(repeated),
    )
    const image = await unpackArchive(path, folder, [], content.length)
    assert.deepEqual(
      new Set(image.layers.map(({ digest }) => digest)),
      new Set([`sha256:${sha256(content)}`]),
    )
    assert.equal(image.layers.length, 4)
  })
}
