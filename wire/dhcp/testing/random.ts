/** A small seeded generator (mulberry32), so that a failing case can be run again. */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * limit)
  }

  chance(share: number): boolean {
    return this.below(1_000_000) < share * 1_000_000
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  /** `count` items, made one by one. */
  list<Item>(count: number, make: () => Item): Item[] {
    return Array.from({ length: count }, make)
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256))
  }

  mac(): string {
    return [...this.bytes(6)].map((octet) => octet.toString(16).padStart(2, '0')).join(':')
  }

  address(): string {
    return [...this.bytes(4)].join('.')
  }

  /** Of 1 to `lengthMax` characters, now and then beyond ASCII. */
  text(lengthMax: number): string {
    return this.list(1 + this.below(lengthMax), () =>
      String.fromCharCode(1 + this.below(this.chance(0.1) ? 255 : 126)),
    ).join('')
  }

  name(): string {
    return this.list(1 + this.below(4), () =>
      this.list(1 + this.below(6), () => 'abcxyz019-'.charAt(this.below(10))).join(''),
    ).join('.')
  }
}
