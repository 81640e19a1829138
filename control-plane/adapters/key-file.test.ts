// Proves that the key file is made once, for its owner only, and that a wrong one is refused with a reason.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { prepareKeyFile, readKeyFile } from './key-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'nt-key-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('the key file is made once and only its owner may read it', () => {
  const path = join(folder, 'secrets', 'key')
  prepareKeyFile(path)
  const key = readKeyFile(path)
  assert.equal(key.length, 32)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  prepareKeyFile(path)
  assert.deepEqual(readKeyFile(path), key)
  assert.deepEqual(readdirSync(join(folder, 'secrets')), ['key'])
})

test('a key file that is absent, cut or open to others is refused', () => {
  const refuses = (path: string) =>
    assert.throws(
      () => readKeyFile(path),
      (error) => isPlatformError(error, 'SETUP_FAILED'),
    )
  refuses(join(folder, 'none'))
  const cut = join(folder, 'cut')
  writeFileSync(cut, 'short', { mode: 0o600 })
  refuses(cut)
  const open = join(folder, 'open')
  prepareKeyFile(open)
  chmodSync(open, 0o644)
  refuses(open)
})
