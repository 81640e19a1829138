import { isDeepStrictEqual } from 'node:util'
import type { FoundSet } from '@nubo/contracts/host'

/** What the agent last found of each set, and which of it the server has not been told. */
export class FoundReports {
  readonly #current = new Map<string, FoundSet>()
  readonly #untold = new Map<string, FoundSet>()
  #onNews: (found: FoundSet) => void = () => {}

  /** Called on each piece of news, synchronously. One listener: the session. */
  listen(onNews: (found: FoundSet) => void): void {
    this.#onNews = onNews
  }

  get(setId: string): FoundSet | undefined {
    return this.#current.get(setId)
  }

  get size(): number {
    return this.#current.size
  }

  /** Newer news of a set replace older ones that were not sent. `absent` is passed on once and then forgotten. */
  publish(found: FoundSet): void {
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
  takeAll(): FoundSet[] {
    this.#untold.clear()
    return [...this.#current.values()]
  }

  /** At most `max` changes, oldest first. */
  takeNews(max: number): FoundSet[] {
    const news: FoundSet[] = []
    for (const [id, found] of this.#untold) {
      if (news.length >= max) break
      news.push(found)
      this.#untold.delete(id)
    }
    return news
  }
}
