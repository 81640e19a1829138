import { isDeepStrictEqual } from 'node:util'
import type { FoundInstance, FoundSet } from '@nubo/contracts/host'

/** What the agent last found of each instance, and which of it the server has not been told. */
export class FoundReports {
  readonly #current = new Map<string, FoundInstance>()
  readonly #untold = new Map<string, FoundInstance>()
  #onNews: (found: FoundInstance) => void = () => {}

  /** Called on each piece of news, synchronously. One listener: the session. */
  listen(onNews: (found: FoundInstance) => void): void {
    this.#onNews = onNews
  }

  get(id: string): FoundInstance | undefined {
    return this.#current.get(id)
  }

  set(id: string): FoundSet | undefined {
    const found = this.#current.get(id)
    return found?.kind === 'set' ? found : undefined
  }

  get size(): number {
    return this.#current.size
  }

  /** Newer news of an instance replace older ones that were not sent. `absent` is passed on once and then forgotten. */
  publish(found: FoundInstance): void {
    const before = this.#current.get(found.id)
    if (found.state === 'absent') {
      this.#current.delete(found.id)
    } else {
      if (isDeepStrictEqual(before, found)) return
      this.#current.set(found.id, found)
    }
    this.#untold.set(found.id, found)
    this.#onNews(found)
  }

  get hasNews(): boolean {
    return this.#untold.size > 0
  }

  /** Everything that is here, for the first report of a session; what was untold counts as told by it. */
  takeAll(): FoundInstance[] {
    this.#untold.clear()
    return [...this.#current.values()]
  }

  /** At most `max` changes, oldest first. */
  takeNews(max: number): FoundInstance[] {
    const news: FoundInstance[] = []
    for (const [id, found] of this.#untold) {
      if (news.length >= max) break
      news.push(found)
      this.#untold.delete(id)
    }
    return news
  }
}
