import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError } from '@nubo/base'

const POLL_MS = 10

/** Looks again and again until `isTrue`; throws DEADLINE_EXCEEDED, or the signal's reason. */
export async function waitUntil(
  what: string,
  isTrue: () => Promise<boolean> | boolean,
  options: { timeoutMs: number; pollMs?: number; signal?: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs
  while (!(await isTrue())) {
    options.signal?.throwIfAborted()
    if (performance.now() > deadline) {
      throw new PlatformError(
        'DEADLINE_EXCEEDED',
        { waitedMs: options.timeoutMs },
        { message: `${what}: not so after ${options.timeoutMs / 1_000} s` },
      )
    }
    await sleep(options.pollMs ?? POLL_MS)
  }
}

/** Whether somebody accepts connections there. */
export function isListening(
  address: { path: string } | { host: string; port: number },
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address)
    const settle = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1_000, () => settle(false))
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
  })
}
