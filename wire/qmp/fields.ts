import { QmpReturnError } from './errors.ts'

/**
 * Reads the fields that we use out of an answer or event of QEMU, each with its type, and nothing else: QEMU may add
 * fields at will. Only own properties count, so `__proto__` and `constructor` in an answer mean nothing.
 * Every method throws `QmpReturnError` that names the field.
 */
export class Fields {
  readonly #value: Readonly<Record<string, unknown>>
  readonly #at: string

  constructor(value: unknown, at: string) {
    this.#value = readObject(value, at)
    this.#at = at
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#value, name)
  }

  string(name: string): string {
    const value = this.#own(name)
    if (typeof value !== 'string') throw this.#wrong(name, 'a string')
    return value
  }

  optionalString(name: string): string | null {
    return this.has(name) ? this.string(name) : null
  }

  boolean(name: string): boolean {
    const value = this.#own(name)
    if (typeof value !== 'boolean') throw this.#wrong(name, 'a boolean')
    return value
  }

  optionalBoolean(name: string): boolean | null {
    return this.has(name) ? this.boolean(name) : null
  }

  /** An integer within ±(2^53 - 1). One beyond has lost digits when it was parsed, hence it is refused, not rounded. */
  integer(name: string): number {
    return readInteger(this.#own(name), `${this.#at}.${name}`)
  }

  optionalInteger(name: string): number | null {
    return this.has(name) ? this.integer(name) : null
  }

  /** As `integer`, and not negative: bytes, counts, indexes. */
  size(name: string): number {
    const value = this.integer(name)
    if (value < 0) throw this.#wrong(name, 'an integer that is not negative')
    return value
  }

  optionalSize(name: string): number | null {
    return this.has(name) ? this.size(name) : null
  }

  /**
   * A number of a statistic: nanoseconds of all requests pass 2^53 within days on a busy disk, and then the nearest
   * double is good enough.
   */
  counter(name: string): number {
    const value = this.#own(name)
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
      throw this.#wrong(name, 'a number that is not negative')
    }
    return value
  }

  optionalCounter(name: string): number | null {
    return this.has(name) ? this.counter(name) : null
  }

  /** One of the texts; `other` for one that a later QEMU may have added. */
  oneOf<const Text extends string>(name: string, texts: readonly Text[]): Text | 'other' {
    const value = this.string(name)
    return texts.find((text) => text === value) ?? 'other'
  }

  object(name: string): Fields {
    return new Fields(this.#own(name), `${this.#at}.${name}`)
  }

  optionalObject(name: string): Fields | null {
    return this.has(name) ? this.object(name) : null
  }

  list<T>(name: string, read: (fields: Fields) => T): T[] {
    return readList(this.#own(name), `${this.#at}.${name}`, read)
  }

  strings(name: string): string[] {
    const value = this.#own(name)
    if (!Array.isArray(value)) throw this.#wrong(name, 'a list of strings')
    return value.map((item: unknown) => {
      if (typeof item !== 'string') throw this.#wrong(name, 'a list of strings')
      return item
    })
  }

  #own(name: string): unknown {
    return this.has(name) ? this.#value[name] : undefined
  }

  #wrong(name: string, expected: string): QmpReturnError {
    return new QmpReturnError(`${this.#at}.${name}`, `expected ${expected}`)
  }
}

/** Applies `read` to each object of an answer that must be a list. Throws `QmpReturnError`. */
export function readList<T>(value: unknown, at: string, read: (fields: Fields) => T): T[] {
  if (!Array.isArray(value)) throw new QmpReturnError(at, 'expected a list')
  return value.map((item: unknown, index) => read(new Fields(item, `${at}[${index}]`)))
}

/** For answers without a shape of their own, such as that of `qom-get`. Throws `QmpReturnError`; see `Fields.integer`. */
export function readInteger(value: unknown, at: string): number {
  if (typeof value !== 'number' || (Number.isFinite(value) && !Number.isInteger(value))) {
    throw new QmpReturnError(at, 'expected an integer')
  }
  if (!Number.isSafeInteger(value)) {
    throw new QmpReturnError(at, 'an integer beyond 2^53 - 1, whose last digits are lost')
  }
  return value
}

/** The value if it is an object of JSON. Throws `QmpReturnError`. */
export function readObject(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new QmpReturnError(at, 'expected an object')
  }
  // Proven by the check above: a non-null, non-array object is indexable by string.
  return value as Readonly<Record<string, unknown>>
}
