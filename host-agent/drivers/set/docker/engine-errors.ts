import { PlatformError, type ErrorCode } from '@nubo/base'
import { isDockerError } from '@nubo/wire-docker'

/**
 * The engine's error as one that the agent acts on. `fallback` is for what the engine refused for a reason of its own;
 * anything that is not the engine's is returned as it is.
 */
export function engineError(error: unknown, what: string, fallback: ErrorCode): unknown {
  if (!isDockerError(error)) return error
  const code = codeOf(error.kind, error.message, fallback)
  const text = engineText(error.message)
  return new PlatformError(code, { what }, { message: `${what}: ${text}`, cause: error })
}

function codeOf(kind: string, message: string, fallback: ErrorCode): ErrorCode {
  if (/no space left on device|disk quota exceeded/i.test(message)) return 'HOST_DISK_FULL'
  // The engine's own runtime (containerd) is away; the engine connects to it again by itself.
  if (message.endsWith(': unavailable')) return 'ENGINE_UNAVAILABLE'
  switch (kind) {
    case 'unreachable':
    case 'protocol':
      return 'ENGINE_UNAVAILABLE'
    case 'timeout':
    case 'aborted':
      return 'DEADLINE_EXCEEDED'
    case 'overloaded':
      return 'TOO_MANY_REQUESTS'
    default:
      return fallback
  }
}

/** What a person needs of an engine's message: without the request, and without the layers that passed it on. */
export function engineText(message: string): string {
  return message
    .replace(/^[A-Z]+ \/\S+: \d{3} /, '')
    .replace(/^.*unable to start container process: (?:error during container init: )?/s, '')
    .replace(/: unknown$/, '')
}
