import { explain, isPlatformError, type ErrorCode } from '@nubo/base'
import type { FoundReason } from '@nubo/contracts/host'

/** Codes that say for themselves why a set does not run; any other failure is told as the step that failed. */
const tellingCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONTAINER_START_FAILED',
  'ENGINE_UNAVAILABLE',
  'HOST_DISK_FULL',
  'IMAGE_PULL_FAILED',
  'OUT_OF_MEMORY',
  'DEADLINE_EXCEEDED',
  'INVALID_INPUT',
  'NOT_ALLOWED_NOW',
  'TOO_MANY_REQUESTS',
  'SETUP_FAILED',
])
const REASON_CHARACTERS_MAX = 1_000

/** Why a step failed, for a report. `fallback` is the code of a failure that has none of its own. */
export function reasonOf(error: unknown, fallback: ErrorCode): FoundReason {
  // Errors of the platform are written for people; below them are calls and answers of engines.
  const text = (isPlatformError(error) ? error.message : explain(error)).slice(
    0,
    REASON_CHARACTERS_MAX,
  )
  // The engine says it in words only, in answers of every kind.
  if (/no space left on device/i.test(explain(error))) return { code: 'HOST_DISK_FULL', text }
  const code = isPlatformError(error) && tellingCodes.has(error.code) ? error.code : fallback
  return { code, text }
}

export function isEngineAway(error: unknown): boolean {
  return isPlatformError(error, 'ENGINE_UNAVAILABLE')
}
