/** Randomness as a parameter: production passes the system's, tests a seeded one. */
export interface Random {
  bytes(count: number): Uint8Array
  /** Uniform in [0, 1). */
  fraction(): number
}

/** Uniform integer in [0, below). */
export function integerBelow(random: Random, below: number): number {
  return Math.floor(random.fraction() * below)
}

/** One item, uniformly; undefined only for an empty list. */
export function pick<Item>(random: Random, items: readonly Item[]): Item | undefined {
  return items[integerBelow(random, items.length)]
}

/** A delay spread over [half, full] of `baseMs`, so that many waiters do not return at once. */
export function withJitter(random: Random, baseMs: number): number {
  return baseMs / 2 + random.fraction() * (baseMs / 2)
}

/** A generator that repeats exactly for one seed (mulberry32). Never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    fraction: next,
    bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256)),
  }
}
