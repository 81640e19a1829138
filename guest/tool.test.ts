// Proves that a program which is missing is told with the package that brings it, and one that fails as what it is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { ProgramError } from '@nubo/runtime/process'
import { runTool } from './tool.ts'

test('a missing program is told with the next step', async () => {
  await assert.rejects(runTool({ argv: ['nubo-no-such-program'] }), (error) => {
    assert.ok(isPlatformError(error, 'SETUP_FAILED'))
    assert.match(error.message, /without nubo-no-such-program\. Next: as root: apt-get install/)
    return true
  })
})

test('a program that fails, and a caller who gives up', async () => {
  await assert.rejects(runTool({ argv: ['false'] }), ProgramError)
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(runTool({ argv: ['true'], signal }), (error) => {
    assert.ok(error instanceof ProgramError)
    return error.failure.at === 'aborted'
  })
})
