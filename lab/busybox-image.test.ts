import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { extract } from 'tar-stream'
import { busyboxRootTar } from './busybox-image.ts'

describe('busyboxRootTar', () => {
  it('is a root file system with a shell, the same bytes each time', async () => {
    const tar = Buffer.from(await busyboxRootTar())
    assert.ok(tar.equals(Buffer.from(await busyboxRootTar())))
    const entries = new Map<string, string>()
    const reader = extract()
    reader.end(tar)
    for await (const entry of reader) {
      entries.set(entry.header.name, entry.header.linkname ?? entry.header.type ?? '')
      entry.resume()
    }
    assert.equal(entries.get('bin/busybox'), 'file')
    assert.equal(entries.get('bin/sh'), 'busybox')
    assert.equal(entries.get('bin/httpd'), 'busybox')
    assert.equal(entries.get('tmp'), 'directory')
    assert.equal(entries.get('www/index.html'), 'file')
  })
})
