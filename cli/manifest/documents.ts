import { parseBytes, parseCpuMillis } from '@nubo/base'
import { UsageError } from '../errors.ts'
import type { SourceText } from './read-text.ts'

/** One document of a text: its value as JSON, and where each part of it stands. */
export interface SourceDocument {
  readonly source: SourceText
  readonly value: unknown
  /** 'shop.yaml:12' of a part, or of the nearest one around it. */
  readonly placeOf: (path: readonly PropertyKey[]) => string
}

export interface Problem {
  readonly path: readonly PropertyKey[]
  readonly text: string
}

const PROBLEMS_SHOWN_MAX = 5

/** Every document of a text; JSON is YAML. Empty ones are left out. Throws UsageError with the line. */
export async function parseDocuments(source: SourceText): Promise<SourceDocument[]> {
  const { LineCounter, parseAllDocuments, isNode } = await import('yaml')
  const lineCounter = new LineCounter()
  const parsed = parseAllDocuments(source.text, { lineCounter, prettyErrors: false })
  const place = (offset: number): string => `${source.name}:${lineCounter.linePos(offset).line}`
  const documents: SourceDocument[] = []
  for (const document of Array.isArray(parsed) ? parsed : []) {
    const [error] = document.errors
    if (error !== undefined)
      throw new UsageError(
        `${place(error.pos[0])}: this cannot be understood: ${error.message.split('\n')[0] ?? ''}.`,
        'it must be YAML or JSON',
      )
    const placeOf = (path: readonly PropertyKey[]): string => {
      for (let length = path.length; length >= 0; length--) {
        const node: unknown =
          length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
        if (!isNode(node)) continue
        const offset = node.range?.[0]
        if (offset !== undefined) return place(offset)
      }
      return source.name
    }
    if (document.contents === null) continue
    documents.push({ source, value: toJson(document, placeOf), placeOf })
  }
  return documents
}

function toJson(document: { toJS: () => unknown }, placeOf: SourceDocument['placeOf']): unknown {
  try {
    return document.toJS()
  } catch (cause) {
    // Aliases that multiply themselves.
    throw new UsageError(
      `${placeOf([])}: this cannot be understood: ${cause instanceof Error ? cause.message : String(cause)}.`,
    )
  }
}

/** Throws UsageError that names the place of each problem. */
export function refuse(
  { placeOf }: SourceDocument,
  problems: readonly Problem[],
  next: string,
): never {
  const shown = problems
    .slice(0, PROBLEMS_SHOWN_MAX)
    .map(
      ({ path, text }) =>
        `${placeOf(path)}: ${path.map(String).join('.') || 'as a whole'}: ${text}`,
    )
  const rest = problems.length - shown.length
  throw new UsageError(`${shown.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}.`, next)
}

/** Problems of a schema, each at what is wrong: an unknown field, not the thing around it. */
export function problemsOf(
  issues: readonly { path: readonly PropertyKey[]; message: string; keys?: readonly string[] }[],
): Problem[] {
  return issues.map(({ path, message, keys }) => ({
    path: keys?.[0] === undefined ? path : [...path, keys[0]],
    text: keys?.[0] === undefined ? message : 'there is no such field',
  }))
}

const units = [
  ['cpu', 'cpuMillis', parseCpuMillis, 'give a number of cores, as 0.5 or 2'],
  ['memory', 'memoryBytes', parseBytes, 'give a size, as 64MiB or 1.5GiB'],
] as const

/**
 * A set as the API takes it: people may write `cpu: 0.5` and `memory: 64MiB`, of the set and of its containers. What is
 * wrong with these goes into `problems`.
 */
export function withoutUnits(
  value: unknown,
  path: readonly PropertyKey[],
  problems: Problem[],
): unknown {
  if (!isRecord(value)) return value
  const plain: Record<string, unknown> = { ...value }
  for (const [short, field, parse, hint] of units) {
    const given = plain[short]
    if (given === undefined) continue
    const parsed =
      typeof given === 'string' || typeof given === 'number' ? parse(String(given)) : undefined
    if (plain[field] !== undefined)
      problems.push({ path: [...path, short], text: `give either ${short} or ${field}` })
    else if (parsed === undefined) problems.push({ path: [...path, short], text: hint })
    plain[field] = parsed
    delete plain[short]
  }
  const { containers } = plain
  if (Array.isArray(containers))
    plain['containers'] = containers.map((one, at) =>
      withoutUnits(one, [...path, 'containers', at], problems),
    )
  return plain
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
