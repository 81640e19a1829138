/**
 * Room that ordinary placements leave free in a zone, so that the hosts that remain can take the `elsewhere` sets of any
 * N hosts of it that are lost at once. Counted for CPU and memory apart, over the sum of what is free.
 *
 * Where host x has E(x) of `elsewhere` sets and f(x) free, losing the hosts L is bearable while
 *   Σ E(x), x in L  ≤  Σ f(x), x not in L     that is     Σ (E(x) + f(x)), x in L  ≤  F,  F being all that is free.
 * The worst L are the N hosts with the largest weight E(x) + f(x), so nothing else needs to be looked at.
 * That the sum is enough does not prove that each set fits into one host; see docs/decisions/0018-placement-at-scale.md.
 */
export class Reserve {
  readonly #lostHosts: number
  readonly #hosts = new Map<string, { free: number; weight: number }>()
  #free = 0
  /** The N + 1 hosts of the largest weight, the largest first; undefined when they must be found again. */
  #top: { host: string; weight: number }[] | undefined

  constructor(lostHosts: number) {
    this.#lostHosts = lostHosts
  }

  /** What the host has now. A host that cannot be placed on has nothing free, but its sets may need room elsewhere. */
  set(host: string, { free, elsewhere }: { free: number; elsewhere: number }): void {
    const before = this.#hosts.get(host)
    const weight = free + elsewhere
    this.#free += free - (before?.free ?? 0)
    this.#hosts.set(host, { free, weight })
    if (weight !== before?.weight) this.#forget(host, weight)
  }

  delete(host: string): void {
    this.#free -= this.#hosts.get(host)?.free ?? 0
    this.#hosts.delete(host)
    this.#forget(host, 0)
  }

  /** Whether the loss would still be bearable with so much more on this host. */
  leaves(asked: { host: string; amount: number; isElsewhere: boolean }): boolean {
    const top = (this.#top ??= this.#findTop())
    const counted = top.slice(0, this.#lostHosts)
    const next = top[this.#lostHosts]?.weight ?? 0
    let need = 0
    for (const { host, weight } of counted) {
      // An `elsewhere` set moves from free to needed: the weight stays. Another one only takes from what is free, and
      // the next host may then be the one that counts.
      const isLighter = host === asked.host && !asked.isElsewhere
      need += isLighter ? Math.max(weight - asked.amount, next) : weight
    }
    return need <= this.#free - asked.amount
  }

  #forget(host: string, weight: number): void {
    const last = this.#top?.at(-1)
    if (this.#top === undefined) return
    const isComplete = this.#top.length <= this.#lostHosts
    if (isComplete || last === undefined || weight > last.weight || this.#hasTop(host))
      this.#top = undefined
  }

  #hasTop(host: string): boolean {
    return this.#top?.some((one) => one.host === host) === true
  }

  #findTop(): { host: string; weight: number }[] {
    const top: { host: string; weight: number }[] = []
    for (const [host, { weight }] of this.#hosts) {
      if (top.length > this.#lostHosts && weight <= (top.at(-1)?.weight ?? 0)) continue
      top.push({ host, weight })
      top.sort((a, b) => b.weight - a.weight)
      top.length = Math.min(top.length, this.#lostHosts + 1)
    }
    return top
  }
}
