import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isPlatformError } from '@nubo/base'
import { gunzipFile } from './archive.ts'

test('gzip is unpacked up to the limit and not a chunk further; a bomb leaves the file that it was', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nt-gzip-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'upload')
  const content = Buffer.alloc(1_000_000, 'a')
  await writeFile(path, gzipSync(content))
  await assert.rejects(gunzipFile(path, 999_999), (error) => isPlatformError(error, 'TOO_LARGE'))
  assert.deepEqual(await readdir(folder), ['upload'], 'what was unpacked is removed')
  await gunzipFile(path, 1_000_000)
  assert.deepEqual(await readFile(path), content)
})

test('what follows sound gzip data, or is damaged, is refused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nt-gzip-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'upload')
  const sound = gzipSync(Buffer.from('nubo'.repeat(1_000)))
  const flipped = Buffer.from(sound)
  flipped[20] = (flipped[20] ?? 0) ^ 0xff
  for (const bytes of [sound.subarray(0, -5), flipped]) {
    await writeFile(path, bytes)
    await assert.rejects(gunzipFile(path), (error) => isPlatformError(error, 'IMAGE_BROKEN'))
  }
})
