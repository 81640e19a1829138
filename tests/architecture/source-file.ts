import { readTokens, type Comment, type Token } from './lexer.ts'

/** How one file reaches another. `names` are the exported names that it takes; '*' for all. */
export interface Import {
  readonly form: 'static' | 'type' | 'side-effect' | 'dynamic' | 're-export'
  /** Undefined for a dynamic import of something computed. */
  readonly specifier: string | undefined
  readonly names: readonly string[]
  readonly line: number
}

export interface FunctionBody {
  readonly line: number
  /** Its own, without those of functions inside it: an object full of methods is as long as its longest method. */
  readonly lines: number
}

export interface SourceFile {
  /** From the top of the tree, with forward slashes. */
  readonly path: string
  readonly lines: number
  readonly tokens: readonly Token[]
  readonly comments: readonly Comment[]
  readonly imports: readonly Import[]
  readonly functions: readonly FunctionBody[]
}

export function readSource(path: string, text: string): SourceFile {
  const { tokens, comments } = readTokens(text)
  return {
    path,
    lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0),
    tokens,
    comments,
    imports: importsOf(tokens),
    functions: functionsOf(tokens),
  }
}

function importsOf(tokens: readonly Token[]): Import[] {
  const found: Import[] = []
  for (const [at, token] of tokens.entries()) {
    const before = tokens[at - 1]?.text
    if (token.kind !== 'word' || before === '.' || before === '?.') continue
    const isStatement = token.text === 'import' || token.text === 'export'
    if (token.text === 'require' && tokens[at + 1]?.text === '(')
      found.push(call(tokens, at + 2, token.line))
    else if (token.text === 'import' && tokens[at + 1]?.text === '(')
      found.push(call(tokens, at + 2, token.line))
    else if (isStatement) found.push(...statement(tokens, at))
  }
  return found
}

function call(tokens: readonly Token[], at: number, line: number): Import {
  const given = tokens[at]
  const isText = given?.kind === 'string' && [')', ','].includes(tokens[at + 1]?.text ?? '')
  return { form: 'dynamic', specifier: isText ? given.text : undefined, names: ['*'], line }
}

/** `import …` or `export …` that begins at `at`; nothing if it takes nothing from another file. */
function statement(tokens: readonly Token[], at: number): Import[] {
  const isExport = tokens[at]?.text === 'export'
  const line = tokens[at]?.line ?? 0
  const first = tokens[at + 1]
  if (!isExport && first?.kind === 'string')
    return [{ form: 'side-effect', specifier: first.text, names: [], line }]
  const isType = first?.text === 'type' && tokens[at + 2]?.text !== 'from'
  let next = isType ? at + 2 : at + 1
  // `export const …`, `export type Name = …` and `import.meta` take nothing.
  if (isExport && !['*', '{'].includes(tokens[next]?.text ?? '')) return []
  if (!isExport && tokens[next]?.text === '.') return []
  const start = next
  while (
    tokens[next] !== undefined &&
    tokens[next]?.text !== 'from' &&
    tokens[next]?.text !== ';'
  ) {
    if (tokens[next]?.text === '}' && tokens[next + 1]?.text !== 'from') return []
    next++
  }
  const specifier = tokens[next + 1]
  if (specifier?.kind !== 'string') return []
  const clause = tokens.slice(start, next)
  const form = isExport ? 're-export' : isType || hasOnlyTypes(clause) ? 'type' : 'static'
  return [{ form, specifier: specifier.text, names: namesOf(clause), line }]
}

function hasOnlyTypes(clause: readonly Token[]): boolean {
  const members = membersOf(clause)
  return members.length > 0 && members.every((member) => member[0] === 'type')
}

function namesOf(clause: readonly Token[]): string[] {
  const members = membersOf(clause)
  if (members.length === 0) return ['*']
  return members.map((member) => member.filter((word) => word !== 'type')[0] ?? '')
}

/** The words of each member of `{ a, type b, c as d }`. */
function membersOf(clause: readonly Token[]): string[][] {
  const members: string[][] = [[]]
  for (const { text } of clause.filter((token) => token.text !== '{' && token.text !== '}')) {
    if (text === ',') members.push([])
    else members.at(-1)?.push(text)
  }
  return clause[0]?.text === '{' ? members.filter((member) => member.length > 0) : []
}

const pairs = new Map([
  ['(', ')'],
  ['{', '}'],
  ['[', ']'],
])
// What stands before parentheses that belong to a statement and not to a function.
const controls = new Set('if for while switch catch with await return typeof'.split(' '))

function functionsOf(tokens: readonly Token[]): FunctionBody[] {
  const closes = closingBrackets(tokens)
  const bodies: Span[] = []
  for (const [at, token] of tokens.entries()) {
    if (token.kind !== 'mark') continue
    let open: number | undefined
    if (token.text === '=>' && tokens[at + 1]?.text === '{') open = at + 1
    else if (token.text === '(' && !isControl(tokens, at))
      open = bodyAfter(tokens, closes, closes.get(at) ?? tokens.length)
    if (open === undefined) continue
    const close = closes.get(open)
    if (close === undefined) continue
    bodies.push({ first: token.line, last: tokens[close]?.line ?? token.line })
  }
  return bodies.map((body) => ({ line: body.first, lines: ownLines(body, bodies) }))
}

interface Span {
  readonly first: number
  readonly last: number
}

function ownLines(body: Span, all: readonly Span[]): number {
  const lines = new Set<number>()
  for (let line = body.first; line <= body.last; line++) lines.add(line)
  for (const inner of all) {
    if (inner.first < body.first || inner.last > body.last || inner.last === inner.first) continue
    if (inner.first === body.first && inner.last === body.last) continue
    for (let line = inner.first + 1; line <= inner.last; line++) lines.delete(line)
  }
  return lines.size
}

function isControl(tokens: readonly Token[], at: number): boolean {
  return controls.has(tokens[at - 1]?.text ?? '')
}

function closingBrackets(tokens: readonly Token[]): Map<number, number> {
  const closes = new Map<number, number>()
  const open: number[] = []
  for (const [at, token] of tokens.entries()) {
    if (token.kind !== 'mark') continue
    if (pairs.has(token.text)) open.push(at)
    else if (['}', ')', ']'].includes(token.text)) {
      const start = open.pop()
      if (start === undefined) throw new Error(`line ${token.line}: a bracket closes nothing`)
      closes.set(start, at)
    }
  }
  return closes
}

/** The `{` of a body that follows the `)` at `close`, over a return type if there is one. */
function bodyAfter(
  tokens: readonly Token[],
  closes: ReadonlyMap<number, number>,
  close: number,
): number | undefined {
  let at = close + 1
  if (tokens[at]?.text === '{') return at
  if (tokens[at]?.text !== ':') return undefined
  // In a type, a brace after one of these is a part of the type; after anything else it begins the body.
  const inType = new Set([':', '|', '&', '=>', '<', ',', 'is', 'readonly', 'extends', 'keyof', '?'])
  for (at++; at < tokens.length; at++) {
    const { kind, text } = tokens[at] ?? { kind: 'mark', text: ';' }
    if (text === '{' && !inType.has(tokens[at - 1]?.text ?? '')) return at
    if (kind === 'mark' && pairs.has(text)) at = closes.get(at) ?? tokens.length
    else if ([';', ')', '}', ']', '='].includes(text)) return undefined
  }
  return undefined
}
