/** Filters of list and event endpoints: any of the values of each name (`{ label: ['a=b'], type: ['container'] }`). */
export type Filters = Readonly<Record<string, readonly string[]>>

/** The JSON form that the engine wants, or undefined where there are none. */
export function encodeFilters(filters: Filters): string | undefined {
  return Object.keys(filters).length === 0 ? undefined : JSON.stringify(filters)
}
