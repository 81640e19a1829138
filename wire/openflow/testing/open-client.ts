import { duplexPair } from 'node:stream'

import { OpenFlowClient, type OpenFlowClientOptions } from '../client.ts'
import type { Timers } from '../timers.ts'
import { VERSION_14, type OpenFlowVersion } from '../version.ts'
import { FakeSwitch, type FakeSwitchOptions } from './fake-switch.ts'

/** Time that passes only when a test says so. */
export class ManualTimers implements Timers {
  #now = 0
  readonly #waiting = new Set<{ readonly at: number; readonly callback: () => void }>()

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback }
    this.#waiting.add(timer)
    return () => void this.#waiting.delete(timer)
  }

  /** Fires what falls due, earliest first, and lets the rest of the program run in between. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      await settle()
      const [next] = [...this.#waiting]
        .filter(({ at }) => at <= end)
        .toSorted((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#waiting.delete(next)
      this.#now = next.at
      next.callback()
    }
    this.#now = end
  }

  get count(): number {
    return this.#waiting.size
  }
}

/** Enough turns of the loop for bytes to cross a pair of streams and be answered. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn += 1) {
    const { promise, resolve } = Promise.withResolvers<void>()
    setImmediate(resolve)
    await promise
  }
}

export interface Opened {
  readonly client: OpenFlowClient
  readonly fake: FakeSwitch
  readonly timers: ManualTimers
}

/** A client on a fake switch, and the time that both live in. */
export async function openClient(
  answer?: FakeSwitchOptions['answer'],
  options: OpenFlowClientOptions & { readonly version?: OpenFlowVersion } = {},
): Promise<Opened> {
  const [near, far] = duplexPair()
  const timers = new ManualTimers()
  const version = options.version ?? VERSION_14
  const fake = new FakeSwitch(far, { version, ...(answer && { answer }) })
  fake.hello()
  const client = await OpenFlowClient.open(near, { timers, ...options })
  return { client, fake, timers }
}

/** Leaves messages of these types without an answer. */
export function silentOn(...types: readonly number[]): FakeSwitchOptions['answer'] {
  return ({ type }) => (types.includes(type) ? undefined : 'default')
}
