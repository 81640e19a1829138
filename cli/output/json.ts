export type OutputFormat = 'table' | 'json' | 'yaml' | 'name'
export const outputFormats = [
  'table',
  'json',
  'yaml',
  'name',
] as const satisfies readonly OutputFormat[]

/** The value as one document that ends with a line end. */
export async function renderDocument(value: unknown, format: 'json' | 'yaml'): Promise<string> {
  if (format === 'json') return `${JSON.stringify(value, undefined, 2)}\n`
  // Loaded only here: it costs more than the rest of a command.
  const { stringify } = await import('yaml')
  return stringify(value, { lineWidth: 0 })
}
