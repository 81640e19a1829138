/** Proves what the launcher says before anything is installed. Installing itself needs a fresh machine. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { ProgramError, run } from '@nubo/runtime'
import { top } from './checkout.ts'

describe('the launcher', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nubo-launcher-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const launcher = join(top, 'nubo')

  it('is bash without mistakes of syntax', async () => {
    await run({ argv: ['bash', '-n', launcher] })
  })

  it('runs programs under one mask, whatever the one of its caller', async () => {
    const copy = join(folder, 'copy')
    const bin = join(copy, 'bootstrap/node_modules/.bin')
    for (const path of [bin, join(copy, 'node_modules'), join(copy, 'cli')])
      mkdirSync(path, { recursive: true })
    for (const lock of ['package-lock.json', 'bootstrap/package-lock.json', 'cli/main.ts'])
      writeFileSync(join(copy, lock), '')
    copyFileSync(launcher, join(copy, 'nubo'))
    writeFileSync(join(bin, 'node'), '#!/bin/sh\numask\n', { mode: 0o755 })
    // As after an installation: the stamps of both lock files.
    const stamps = {
      'bootstrap/node_modules/.nubo-stamp': ['bootstrap/package-lock.json'],
      'node_modules/.nubo-stamp': ['bootstrap/package-lock.json', 'package-lock.json'],
    }
    for (const [file, locks] of Object.entries(stamps)) {
      const sums = (await run({ argv: ['sha256sum', ...locks], cwd: copy })).stdout
      const stamp = createHash('sha256').update(sums).digest('hex').slice(0, 40)
      writeFileSync(join(copy, file), `${stamp}\n`)
    }
    const script = 'umask "$1"; exec bash "$2" version'
    for (const mask of ['0077', '0000']) {
      const { stdout } = await run({
        argv: ['sh', '-c', script, 'sh', mask, join(copy, 'nubo')],
      })
      assert.equal(stdout.trim(), '0022')
    }
  })

  it('tells a user who is not root what needs root, and the command that would do', async () => {
    writeFileSync(join(folder, 'id'), '#!/bin/sh\necho 1000\n')
    chmodSync(join(folder, 'id'), 0o755)
    for (const verb of ['up', 'down', 'status', 'test', 'bench']) {
      const error = await run({
        argv: [launcher, verb],
        env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` },
      }).then(
        () => assert.fail(`${verb} should be refused`),
        (thrown: unknown) => thrown,
      )
      assert.ok(error instanceof ProgramError)
      assert.deepEqual(error.failure, { at: 'exit', exitCode: 1 })
      assert.match(
        error.stderrTail,
        new RegExp(`'nubo ${verb}' .* needs root\\n {2}next: sudo .*nubo ${verb}`),
      )
    }
  })
})
