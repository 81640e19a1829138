import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 20

/**
 * Reads until `isSo` of what was read, and returns it. Tests wait for states, never for time; the deadline only keeps
 * a broken test from hanging, and its error shows what was read last.
 */
export async function waitUntil<Value>(
  read: () => Value | Promise<Value>,
  isSo: (value: Value) => boolean,
  options: { timeoutMs?: number; what?: string } = {},
): Promise<Value> {
  const timeoutMs = options.timeoutMs ?? 20_000
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const value = await read()
    if (isSo(value)) return value
    if (performance.now() > deadlineMs) {
      const last = JSON.stringify(value)?.slice(0, 2_000)
      throw new Error(
        `not within ${timeoutMs} ms: ${options.what ?? isSo.toString()}; last: ${last}`,
      )
    }
    await sleep(POLL_MS)
  }
}
