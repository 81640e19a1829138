import type { Token } from './lexer.ts'
import { isEntry, isTestCode } from './levels.ts'
import type { SourceFile } from './source-file.ts'
import { fileRule, type Fault, type Rule } from './violation.ts'

type Found = Omit<Fault, 'path'>

/** Where these words stand one after another as code: `Date . now`. */
function places(tokens: readonly Token[], ...texts: string[]): Token[] {
  return tokens.filter(
    (token, at) =>
      token.kind !== 'string' &&
      token.kind !== 'template' &&
      texts.every((text, offset) => tokens[at + offset]?.text === text),
  )
}

const ambient: readonly (readonly [...string[]])[] = [
  ['Date', '.', 'now'],
  ['Math', '.', 'random'],
  ['process', '.', 'env'],
  ['process', '.', 'hrtime'],
  ['performance', '.', 'now'],
  ['new', 'Date', '(', ')'],
  ['randomBytes', '('],
  ['randomUUID', '('],
  ['randomInt', '('],
  ['getRandomValues', '('],
]

const injected = fileRule('injected', ({ path, tokens }) =>
  isEntry(path)
    ? []
    : ambient.flatMap((texts) =>
        places(tokens, ...texts).map(({ line }) => ({
          line,
          text: `${texts.join('')} makes this unrepeatable; take a Clock, a Random or configuration as a parameter`,
        })),
      ),
)

const childProcess = fileRule('child-process', (file) =>
  file.path === 'runtime/process/programs.ts' || isTestCode(file.path)
    ? []
    : file.imports
        .filter(({ specifier }) => specifier === 'node:child_process')
        .map(({ line }) => ({
          line,
          text: 'programs are started by runtime/process/programs.ts only',
        })),
)

const shells = ['sh', 'bash', '/bin/sh', '/bin/bash']

/** Tests may write a shell script as an argument of argv; nobody hands a line to a shell that the language chooses. */
const shellString = fileRule('shell-string', ({ path, tokens, imports }) => {
  const found: Found[] = imports
    .filter(({ specifier }) => specifier === 'node:child_process')
    .filter(({ names }) => names.some((name) => ['exec', 'execSync', '*'].includes(name)))
    .map(({ line }) => ({ line, text: 'exec takes a shell string; use argv arrays' }))
  for (const { line } of places(tokens, 'shell', ':', 'true'))
    found.push({ line, text: 'no shell; use argv arrays' })
  for (const [at, token] of tokens.entries()) {
    const isShell = token.kind === 'string' && shells.includes(token.text)
    // `argv: ['sh', '-c'` and `argv = ['sh', '-c'`; a container may have such a command, that starts nothing here.
    const isArgv = tokens[at - 2]?.text === '=' || tokens[at - 3]?.text === 'argv'
    if (isShell && isArgv && tokens[at + 2]?.text === '-c' && !isTestCode(path))
      found.push({ line: token.line, text: 'a shell is started; use argv arrays' })
  }
  return found
})

// What stands before a type.
const beforeType = [':', '<', 'as', '|', '&', '=>', 'extends', 'is', 'keyof', 'satisfies', ',']
const afterType = [')', ',', ';', '>', '[', '=', '|', '&', '{', '}', ']']

const erasable = fileRule('erasable', ({ tokens }) => {
  const found: Found[] = []
  for (const [at, token] of tokens.entries()) {
    const before = tokens[at - 1]
    const after = tokens[at + 1]
    if (token.kind !== 'word' || before?.text === '.') continue
    const isDeclared = after?.kind === 'word' && before?.text !== '.'
    if (token.text === 'enum' && isDeclared)
      found.push({ line: token.line, text: 'no enum; use a union of texts' })
    if (['namespace', 'module'].includes(token.text) && isDeclared && tokens[at + 2]?.text === '{')
      found.push({ line: token.line, text: `no ${token.text}; a file is one` })
    const isType =
      beforeType.includes(before?.text ?? '') &&
      (afterType.includes(after?.text ?? '') || after?.line !== token.line)
    if (token.text === 'any' && isType)
      found.push({ line: token.line, text: 'no any; say what it is, or unknown' })
  }
  return found
})

const sqlMethods = 'selectFrom insertInto updateTable deleteFrom mergeInto'.split(' ')

/** The store of a domain, the world, and what runs migrations know tables. */
const holdsSql =
  /^runtime\/postgres\/|^control-plane\/world\/|^control-plane\/domains\/[^/]+\/(?:[a-z]+-)?store\.ts$/

const sqlInStore = fileRule('sql-in-store', (file) => {
  if (holdsSql.test(file.path) || isTestCode(file.path)) return []
  const text = 'SQL lies in the store.ts of its domain, or a PART-store.ts beside it'
  return [
    ...file.imports
      .filter(({ specifier }) => specifier === 'kysely')
      .map(({ line }) => ({ line, text })),
    ...sqlMethods.flatMap((method) =>
      places(file.tokens, '.', method, '(').map(({ line }) => ({ line, text })),
    ),
  ]
})

const branches = ['if', 'switch', 'for', 'while', 'try', '&&', '||']

const routesBind = fileRule('routes-bind', ({ path, tokens }) => {
  if (!path.endsWith('/routes.ts') || !path.startsWith('control-plane/')) return []
  return tokens
    .filter((token, at) => isBranch(tokens, token, at))
    .map(({ line }) => ({ line, text: 'a route binds a call to a service; decide there' }))
})

function isBranch(tokens: readonly Token[], token: Token, at: number): boolean {
  if (token.kind === 'mark' && token.text === '?') return tokens[at + 1]?.text !== ':'
  return (token.kind === 'word' || token.kind === 'mark') && branches.includes(token.text)
}

const lintReason = fileRule('lint-reason', (file: SourceFile) =>
  file.comments
    .filter(({ text }) => /\b(oxlint|eslint)-disable|@ts-(ignore|expect-error|nocheck)/.test(text))
    .filter(({ text }) => !/-- \S+ \S+|@ts-expect-error:? \S+ \S+/.test(text))
    .map(({ line }) => ({ line, text: 'a check is switched off without a reason (-- why)' })),
)

export const textRules: readonly Rule[] = [
  injected,
  childProcess,
  shellString,
  erasable,
  sqlInStore,
  routesBind,
  lintReason,
]
