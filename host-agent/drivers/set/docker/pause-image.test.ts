import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { extract } from 'tar-stream'
import { buildPauseImage } from './pause-image.ts'

function fileWith(t: TestContext, content: Buffer): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'ntp'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(path.join(directory, 'busybox'), content)
  return path.join(directory, 'busybox')
}

/** The beginning of an ELF program for a machine. */
function elf(machine: number): Buffer {
  const bytes = Buffer.alloc(64)
  bytes.writeUInt32BE(0x7f454c46, 0)
  bytes.writeUInt16LE(machine, 18)
  return bytes
}

async function filesOf(tar: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  const parser = extract()
  Readable.from([tar]).pipe(parser)
  for await (const entry of parser) files.set(entry.header.name, await buffer(entry))
  return files
}

test('equal programs give equal images; the id is the digest of the configuration in the archive', async (t) => {
  const file = fileWith(t, elf(0x3e))
  const [first, second] = [await buildPauseImage(file), await buildPauseImage(file)]
  assert.equal(first.id, second.id)
  assert.deepEqual(await first.archive(), await second.archive())
  const files = await filesOf(await first.archive())
  const config = files.get('config.json') ?? Buffer.alloc(0)
  const layer = files.get('layer.tar') ?? Buffer.alloc(0)
  const digest = (bytes: Buffer): string =>
    `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  assert.equal(digest(config), first.id)
  const { rootfs, architecture } = JSON.parse(config.toString())
  assert.deepEqual(rootfs.diff_ids, [digest(layer)])
  assert.equal(architecture, 'amd64')
  assert.deepEqual((await filesOf(layer)).get('busybox'), elf(0x3e))
  assert.ok(first.id.includes(first.tag.replace('nubo-pause:', '')))
  const [manifest] = JSON.parse(files.get('manifest.json')?.toString() ?? '[]')
  assert.deepEqual(manifest, {
    Config: 'config.json',
    RepoTags: [first.tag],
    Layers: ['layer.tar'],
  })
})

test('another program gives another image', async (t) => {
  const [amd, arm] = [
    await buildPauseImage(fileWith(t, elf(0x3e))),
    await buildPauseImage(fileWith(t, elf(0xb7))),
  ]
  assert.notEqual(amd.id, arm.id)
})

test('no program, or none that could run, is said so', async (t) => {
  await assert.rejects(buildPauseImage('/nonexistent/busybox'), {
    code: 'SETUP_FAILED',
    message: /\/nonexistent\/busybox/,
  })
  await assert.rejects(buildPauseImage(fileWith(t, Buffer.from('#!/bin/sh'))), {
    code: 'SETUP_FAILED',
  })
  await assert.rejects(buildPauseImage(fileWith(t, elf(1))), { code: 'SETUP_FAILED' })
})
