import { dirname } from 'node:path'
import assert from 'node:assert/strict'
import { ProgramError, run } from '@nubo/runtime'
import { toolPath, top } from '../checkout.ts'

const CHECK_TIMEOUT_MS = 5 * 60_000
const OUTPUT_CHARACTERS_MAX = 20_000

/** Runs a pinned tool at the top of the checkout; what it complains of becomes the failure of the test. */
export async function check([tool, ...args]: readonly [string, ...string[]]): Promise<void> {
  try {
    await run({
      argv: [toolPath(tool), ...args],
      cwd: top,
      // The tools are scripts for our Node; the one that runs us is it.
      env: { PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}` },
      timeoutMs: CHECK_TIMEOUT_MS,
    })
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    assert.fail(`${error.message}\n${error.stdout.slice(0, OUTPUT_CHARACTERS_MAX)}`)
  }
}
