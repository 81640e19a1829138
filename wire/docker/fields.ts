import { DockerError } from './errors.ts'

/**
 * Reads the fields that we use out of a parsed JSON answer, and nothing else: an engine may add fields at will.
 * Docker writes `null` for empty lists and maps, so null counts as absent everywhere.
 * Every method throws a DockerError of kind `protocol` that names the field.
 */
export class Fields {
  readonly #value: Readonly<Record<string, unknown>>
  readonly #at: string

  constructor(value: unknown, at: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new DockerError('protocol', `${at}: expected an object`)
    }
    // Proven by the check above: a non-null, non-array object is indexable by string.
    this.#value = value as Readonly<Record<string, unknown>>
    this.#at = at
  }

  string(name: string): string {
    return this.#present(name, this.optionalString(name), 'a string')
  }

  optionalString(name: string): string | null {
    const value = this.#own(name)
    if (value === undefined) return null
    if (typeof value !== 'string') throw this.#wrong(name, 'a string')
    return value
  }

  /** A number that is finite; Docker's counters and sizes fit into 2^53. */
  number(name: string): number {
    return this.#present(name, this.optionalNumber(name), 'a number')
  }

  optionalNumber(name: string): number | null {
    const value = this.#own(name)
    if (value === undefined) return null
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#wrong(name, 'a number')
    return value
  }

  boolean(name: string): boolean {
    const value = this.#own(name)
    if (typeof value !== 'boolean') throw this.#wrong(name, 'a boolean')
    return value
  }

  /** A nested object; absent counts as empty, so that its own required fields complain by name. */
  object(name: string): Fields {
    return new Fields(this.#own(name) ?? {}, `${this.#at}.${name}`)
  }

  strings(name: string): string[] {
    const value = this.#own(name) ?? []
    if (!Array.isArray(value)) throw this.#wrong(name, 'a list of strings')
    return value.map((item: unknown) => {
      if (typeof item !== 'string') throw this.#wrong(name, 'a list of strings')
      return item
    })
  }

  stringMap(name: string): Record<string, string> {
    const value = this.#own(name) ?? {}
    if (typeof value !== 'object' || Array.isArray(value))
      throw this.#wrong(name, 'a map of strings')
    // A null prototype, because the keys come from outside: `__proto__` is then a key like any other.
    const map: Record<string, string> = Object.create(null)
    for (const [key, item] of Object.entries(value)) {
      if (typeof item !== 'string') throw this.#wrong(name, 'a map of strings')
      map[key] = item
    }
    return map
  }

  #own(name: string): unknown {
    const value = Object.hasOwn(this.#value, name) ? this.#value[name] : undefined
    return value === null ? undefined : value
  }

  #present<T>(name: string, value: T | null, expected: string): T {
    if (value === null) throw this.#wrong(name, expected)
    return value
  }

  #wrong(name: string, expected: string): DockerError {
    return new DockerError('protocol', `${this.#at}.${name}: expected ${expected}`)
  }
}

/** Applies `read` to each item of an answer that must be a list; null counts as empty. */
export function readList<T>(value: unknown, at: string, read: (fields: Fields) => T): T[] {
  if (value === null) return []
  if (!Array.isArray(value)) throw new DockerError('protocol', `${at}: expected a list`)
  return value.map((item: unknown, index) => read(new Fields(item, `${at}[${index}]`)))
}

/** Parses JSON; a DockerError of kind `protocol` instead of a SyntaxError. */
export function parseJson(text: string, at: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new DockerError('protocol', `${at}: not JSON`, { cause })
  }
}

/**
 * Milliseconds since 1970 of a Docker timestamp, fractions kept (nanoseconds become 0.000001).
 * Go's zero time, which Docker writes for "never", gives null.
 */
export function readTime(text: string, at: string): number | null {
  if (text === '' || text.startsWith('0001-01-01T')) return null
  const seconds = Date.parse(text.replace(/\.\d+/, ''))
  if (Number.isNaN(seconds))
    throw new DockerError('protocol', `${at}: not a time: ${text.slice(0, 40)}`)
  const fraction = /\.(\d{1,9})/.exec(text)?.[1]
  return fraction === undefined ? seconds : seconds + Number(`0.${fraction}`) * 1000
}
