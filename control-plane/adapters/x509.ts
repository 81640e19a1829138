/**
 * Loads @peculiar/x509. Its dependency injection refuses to load without the metadata calls of an old proposal for
 * `Reflect`; these three are all it uses, and a whole polyfill package would bring far more.
 */
type MetadataReflect = typeof Reflect & {
  defineMetadata?: (key: unknown, value: unknown, target: object) => void
  getOwnMetadata?: (key: unknown, target: object) => unknown
  getMetadata?: (key: unknown, target: object) => unknown
}

function provideMetadata(reflect: MetadataReflect): void {
  if (reflect.getMetadata !== undefined) return
  const known = new WeakMap<object, Map<unknown, unknown>>()
  reflect.defineMetadata = (key, value, target) => {
    known.set(target, (known.get(target) ?? new Map<unknown, unknown>()).set(key, value))
  }
  reflect.getOwnMetadata = (key, target) => known.get(target)?.get(key)
  reflect.getMetadata = (key, target) => {
    for (let at: object | null = target; at !== null; at = Reflect.getPrototypeOf(at)) {
      const own = known.get(at)
      if (own?.has(key) === true) return own.get(key)
    }
    return undefined
  }
}

provideMetadata(Reflect)

export const x509 = await import('@peculiar/x509')
