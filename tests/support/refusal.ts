import assert from 'node:assert/strict'
import type { ErrorCode } from '@nubo/base'
import { ApiError } from '@nubo/client'

/** The error with which the API refused a call; fails the test if it did not, or with another code. */
export async function refusal(call: Promise<unknown>, code: ErrorCode): Promise<ApiError> {
  const outcome = await call.then(
    (value: unknown) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if (!('error' in outcome))
    return assert.fail(`expected ${code}, but it was done: ${JSON.stringify(outcome.value)}`)
  const { error } = outcome
  if (!(error instanceof ApiError)) throw error
  assert.equal(error.code, code, `${error.message} ${JSON.stringify(error.details)}`)
  if (error.status !== 0) assert.notEqual(error.requestId, '')
  return error
}
