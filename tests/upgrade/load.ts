import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, isApiError, OutcomeUnknownError, type Client } from '@nubo/client'
import { systemClock, systemRandom } from '@nubo/runtime'
import { done, setOf } from '../support/project.ts'
import { waitUntil } from '../support/wait.ts'

const KEPT_PER_WORKER = 3
const LIST_PERIOD_MS = 20

/**
 * Clients of a region that create, remove, list and watch sets until they are told to stop. Each failure but "the outcome is
 * unknown" is kept; that one they settle by looking, as any caller must.
 */
export class Load {
  /** Sets that must be there in the end. */
  readonly wanted = new Set<string>()
  /** State of each set as the watcher has it, by name. */
  readonly watched = new Map<string, string>()
  readonly failures: unknown[] = []
  acknowledged = 0
  unknown = 0
  lists = 0
  readonly #over = new AbortController()
  readonly #watching = new AbortController()
  readonly #work: Promise<unknown>

  constructor(asked: {
    readonly servers: readonly string[]
    readonly token: string
    readonly workers: number
  }) {
    const clientAt = (at: number): Client =>
      createClient({
        // Half of them begin with each server.
        servers: at % 2 === 0 ? asked.servers : asked.servers.toReversed(),
        token: asked.token,
        clock: systemClock,
        random: systemRandom,
      })
    const runs = Array.from({ length: asked.workers }, (_, at) => this.#change(clientAt(at), at))
    runs.push(this.#list(clientAt(0)), this.#list(clientAt(1)))
    const watcher = this.#watch(clientAt(0))
    this.#work = Promise.all(
      runs.map((run) => run.catch((error: unknown) => this.failures.push(error))),
    )
    watcher.catch((error: unknown) => {
      if (!this.#watching.signal.aborted) this.failures.push(error)
    })
  }

  /** Resolves when every change that was begun is settled. The watcher goes on. */
  async stop(): Promise<void> {
    this.#over.abort()
    await this.#work
  }

  /** Resolves when so many changes more were acknowledged, or something has failed. */
  async moreChanges(count: number): Promise<void> {
    const before = this.acknowledged
    await waitUntil(
      () => this.failures.length > 0 || this.acknowledged - before >= count,
      (isSo) => isSo,
      { timeoutMs: 40_000, what: `${count} more changes are acknowledged` },
    )
  }

  /**
   * After `stop`: nothing has failed; exactly the wanted sets run, each on the host that is said and on no other, with an
   * address of its own; the watcher knows the same; every operation ended well.
   */
  async assertExact(
    client: Client,
    hosts: readonly { readonly name: string; readonly setIds: () => Promise<readonly string[]> }[],
  ): Promise<void> {
    assert.deepEqual(this.failures, [])
    const sets = await waitUntil(
      () => client.listAll('setList'),
      (all) => all.length === this.wanted.size && all.every(({ state }) => state === 'running'),
      { what: 'exactly the sets that are wanted run' },
    )
    assert.deepEqual(new Set(sets.map(({ name }) => name)), this.wanted)
    const addresses = new Set(sets.map(({ address }) => address))
    assert.equal(addresses.size, sets.length, 'no address twice')
    for (const { name, setIds } of hosts) {
      const here = sets.filter(({ host }) => host === name).map(({ id }) => id)
      assert.deepEqual(new Set(await setIds()), new Set(here), name)
    }
    await waitUntil(
      () => [...this.watched],
      (watched) =>
        watched.length === sets.length && watched.every(([, state]) => state === 'running'),
      { what: 'the watcher knows the same' },
    )
    const operations = await client.listAll('operationList')
    assert.deepEqual(
      operations.filter(({ state }) => state !== 'done'),
      [],
      'every operation ended well',
    )
  }

  close(): void {
    this.#over.abort()
    this.#watching.abort()
  }

  async #change(client: Client, worker: number): Promise<void> {
    const mine: string[] = []
    for (let at = 0; !this.#over.signal.aborted; at++) {
      const name = `w${worker}-${at}`
      const created = await this.#create(client, name)
      mine.push(name)
      this.wanted.add(name)
      if (created !== undefined) await done(client, created)
      const oldest = mine.length > KEPT_PER_WORKER ? mine.shift() : undefined
      if (oldest === undefined) continue
      this.wanted.delete(oldest)
      await this.#remove(client, oldest)
    }
  }

  /** Undefined if it turned out that it exists, so that there is no operation to wait for. */
  async #create(client: Client, name: string) {
    for (;;) {
      try {
        const operation = await client.setCreate({ body: setOf(name) })
        this.acknowledged++
        return operation
      } catch (error) {
        if (!(error instanceof OutcomeUnknownError)) throw error
        this.unknown++
        if ((await stateOf(client, name)) !== undefined) return undefined
      }
    }
  }

  async #remove(client: Client, name: string): Promise<void> {
    for (;;) {
      try {
        const operation = await client.setRemove({ params: { id: name } })
        this.acknowledged++
        await done(client, operation)
        return
      } catch (error) {
        if (!(error instanceof OutcomeUnknownError)) throw error
        this.unknown++
        const state = await stateOf(client, name)
        if (state === undefined || state === 'removing') return
      }
    }
  }

  async #list(client: Client): Promise<void> {
    let revision = 0
    while (!this.#over.signal.aborted) {
      const page = await client.setList({ query: { minRevision: revision } })
      if (page.revision < revision) throw new Error('a list went back in time')
      ;({ revision } = page)
      this.lists++
      await sleep(LIST_PERIOD_MS)
    }
  }

  async #watch(client: Client): Promise<void> {
    const names = new Map<string, string>()
    const { signal } = this.#watching
    for await (const { type, id, object } of client.watch({ kind: 'set' }, { signal })) {
      if (id === null) continue
      if (type === 'change') {
        // proof: what a `show` of a set would answer
        const { name, state } = object as { name: string; state: string }
        names.set(id, name)
        this.watched.set(name, state)
      } else if (type === 'removed') this.watched.delete(names.get(id) ?? '')
    }
  }
}

/** Undefined if there is no such set. */
async function stateOf(client: Client, name: string): Promise<string | undefined> {
  try {
    return (await client.setShow({ params: { id: name } })).state
  } catch (error) {
    if (isApiError(error, 'NOT_FOUND')) return undefined
    throw error
  }
}
