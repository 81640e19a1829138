import type { LogEntry, LogRequest } from '../set-driver.ts'

/** Simulated hosts are many; whoever reads a fake log needs its end. */
const ENTRIES_MAX = 256

/** The log of a fake container. */
export class FakeLog {
  #entries: { readonly entry: LogEntry; readonly number: number }[] = []
  #next = 0
  #isEnded = false
  #change = Promise.withResolvers<void>()

  add(entry: LogEntry): void {
    this.#entries.push({ entry, number: this.#next })
    this.#next += 1
    if (this.#entries.length > ENTRIES_MAX) this.#entries = this.#entries.slice(-ENTRIES_MAX / 2)
    this.#changed()
  }

  /** The container has ended: followers stop. `reopen` when it starts again. */
  end(): void {
    this.#isEnded = true
    this.#changed()
  }

  reopen(): void {
    this.#isEnded = false
  }

  async *read(request: LogRequest): AsyncGenerator<LogEntry, void, undefined> {
    const sinceNs = BigInt(Math.ceil(request.sinceMs ?? 0)) * 1_000_000n
    const chosen = this.#entries.filter(({ entry }) => entry.atNs >= sinceNs)
    const tail = request.tail ?? chosen.length
    let from = tail >= chosen.length ? (chosen[0]?.number ?? this.#next) : this.#next - tail
    for (;;) {
      const change = this.#change.promise
      for (const { entry, number } of this.#entries) {
        if (number < from || entry.atNs < sinceNs) continue
        from = number + 1
        yield entry
      }
      if (request.follow !== true || this.#isEnded || request.signal?.aborted === true) return
      await Promise.race([change, aborted(request.signal)])
    }
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers<void>()
  }
}

async function aborted(signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (signal?.aborted === true) resolve()
  else signal?.addEventListener('abort', () => resolve(), { once: true })
  await promise
}
