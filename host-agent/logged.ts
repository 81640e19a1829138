import { explain, isPlatformError } from '@nubo/base'
import type { LogFields } from '@nubo/runtime/process'

/** How an error stands in the log: one that is expected as its words, any other whole, with where it came from. */
export function logged(error: unknown): LogFields {
  return isPlatformError(error) ? { code: error.code, cause: explain(error) } : { error }
}
