// Proves that the root file system can be unpacked and started: what Linux and the scripts need is there, with the right modes.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '@nubo/runtime/process'
import { cpioArchive } from './cpio.ts'
import { readOwnFiles, rootEntries } from './root-files.ts'

test('the root file system is one that Linux can unpack, the same each time', async (t) => {
  const kernelFolder = mkdtempSync(join(tmpdir(), 'nubo-guest-kernel-'))
  t.after(() => rmSync(kernelFolder, { recursive: true }))
  for (const name of ['vmlinuz', '00-virtio_ring.ko', '01-virtio.ko'])
    writeFileSync(join(kernelFolder, name), name)
  const entries = await rootEntries(kernelFolder)
  const kinds = new Map(entries.map((entry) => [entry.path, entry]))
  const modeOf = (path: string): number | undefined => {
    const entry = kinds.get(path)
    return entry?.at === 'file' ? entry.mode : undefined
  }
  assert.equal(modeOf('init'), 0o755)
  assert.equal(modeOf('bin/busybox'), 0o755)
  assert.equal(modeOf('etc/acpi/PWRF/00000080'), 0o755)
  assert.equal(modeOf('etc/inittab'), 0o644)
  assert.equal(modeOf('lib/modules/00-virtio_ring.ko'), 0o644)
  assert.equal(modeOf('lib/modules/vmlinuz'), undefined)
  assert.equal(kinds.get('dev/console')?.at, 'device')
  for (const command of ['sh', 'init', 'udhcpc', 'httpd', 'acpid', 'uevent', 'nc', 'insmod'])
    assert.equal(kinds.get(`bin/${command}`)?.at, 'link', command)
  // It refuses what comes twice or before its folder.
  assert.ok(cpioArchive(entries).equals(cpioArchive(await rootEntries(kernelFolder))))
})

test('each script is one that the shell of the guest can read', async () => {
  const scripts = (await readOwnFiles()).filter(([, bytes]) => bytes.toString().startsWith('#!'))
  assert.ok(scripts.length >= 9)
  for (const [path, input] of scripts) {
    assert.ok(input.toString().startsWith('#!/bin/sh\n'), path)
    await run({ argv: ['/bin/busybox', 'ash', '-n'], input })
  }
})
