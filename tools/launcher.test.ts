/** Proves what the launcher says before anything is installed. Installing itself needs a fresh machine. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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
