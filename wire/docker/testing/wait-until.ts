import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves when `isTrue` says so; rejects with `what` after `timeoutMs`. Waits for a state, never for a time. */
export async function waitUntil(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await sleep(20)
  }
}
