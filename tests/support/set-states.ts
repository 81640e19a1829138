import type { TestContext } from 'node:test'
import type { Client } from '@nubo/client'

/** Follows the states of all sets of a project from now on, each change once; ends with the test. */
export class SetStates {
  /** Resolves when what was there at the beginning has been told. */
  readonly synced: Promise<void>
  readonly #states = new Map<string, string[]>()
  readonly #synced = Promise.withResolvers<void>()

  constructor(test: Pick<TestContext, 'after'>, client: Client) {
    const over = new AbortController()
    test.after(() => over.abort())
    this.synced = this.#synced.promise
    this.#follow(client, over.signal).catch((error: unknown) => this.#synced.reject(error))
  }

  of(setId: string): readonly string[] {
    return this.#states.get(setId) ?? []
  }

  async #follow(client: Client, signal: AbortSignal): Promise<void> {
    for await (const { type, id, object } of client.watch({ kind: 'set' }, { signal })) {
      if (type === 'synced') this.#synced.resolve()
      if (type !== 'change' || id === null) continue
      // proof: what a `show` of a set would answer
      const { state } = object as { state: string }
      const states = this.#states.get(id) ?? []
      if (states.at(-1) !== state) states.push(state)
      this.#states.set(id, states)
    }
  }
}
