import { isTestCode, levelOf } from './levels.ts'
import type { SourceFile } from './source-file.ts'
import { fileRule, type Fault, type Rule } from './violation.ts'

const FILE_LINES_MAX = 500
const FUNCTION_LINES_MAX = 70

const level = fileRule('level', ({ path }) =>
  levelOf(path) === undefined
    ? [{ line: 1, text: 'this folder is on no level; see tests/architecture/levels.ts' }]
    : [],
)

const fileName = /^[a-z0-9]+(-[a-z0-9]+)*(\.(store|system))?(\.test)?\.ts$/
const folderName = /^[a-z0-9]+(-[a-z0-9]+)*$/

const kebabCase = fileRule('kebab-case', ({ path }) => {
  const parts = path.split('/')
  const name = parts.pop() ?? ''
  return fileName.test(name) && parts.every((part) => folderName.test(part))
    ? []
    : [{ line: 1, text: 'folders and files are named in-kebab-case.ts, tests name.test.ts' }]
})

const fileLength = fileRule('file-length', ({ lines }) =>
  lines > FILE_LINES_MAX
    ? [{ line: FILE_LINES_MAX, lines, text: `${lines} lines; at most ${FILE_LINES_MAX}` }]
    : [],
)

const functionLength = fileRule('function-length', ({ path, functions }) =>
  isTestCode(path)
    ? []
    : functions
        .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
        .map(({ line, lines }) => ({
          line,
          lines,
          text: `a function of ${lines} lines; at most ${FUNCTION_LINES_MAX}`,
        })),
)

/** `index.ts` shows what a folder offers and does nothing; no other file only passes on. */
const barrel = fileRule('barrel', (file) => {
  const faults: Omit<Fault, 'path'>[] = []
  const passesOn = file.imports.filter((imported) => imported.form === 're-export')
  const isFace = file.path.endsWith('/index.ts')
  for (const { line, names } of passesOn) {
    if (names.includes('*')) faults.push({ line, text: 'exports are named, not *' })
    if (!isFace && !isTestCode(file.path))
      faults.push({ line, text: 'only an index.ts passes on what others export' })
  }
  if (isFace && !isTestCode(file.path)) faults.push(...deedsOf(file))
  return faults
})

function deedsOf(file: SourceFile): Omit<Fault, 'path'>[] {
  const deed = file.tokens.find(
    (token) =>
      token.kind === 'word' && ['const', 'let', 'function', 'class', 'await'].includes(token.text),
  )
  return deed === undefined
    ? []
    : [{ line: deed.line, text: 'an index.ts only passes on; put this into a file with a name' }]
}

const emptyNames = /^(.*[a-z0-9])?(Manager|Helper|Helpers|Util|Utils|Processor)$/

/** Names that say nothing. */
const name = fileRule('name', (file) => {
  const base = file.path.split('/').at(-1) ?? ''
  const faults: Omit<Fault, 'path'>[] = /(^|-)(manager|helpers?|utils?|processor|misc)\./.test(base)
    ? [{ line: 1, text: 'the name of the file says nothing; name it after what it holds' }]
    : []
  for (const [at, token] of file.tokens.entries()) {
    const before = file.tokens[at - 1]?.text ?? ''
    if (!['class', 'interface', 'type', 'function', 'const'].includes(before)) continue
    if (token.kind === 'word' && emptyNames.test(token.text))
      faults.push({ line: token.line, text: `${token.text} says nothing; name what it is` })
    if (before === 'interface' && /^I[A-Z][a-z]/.test(token.text))
      faults.push({ line: token.line, text: `${token.text}: interfaces have no prefix` })
  }
  return faults
})

export const placeRules: readonly Rule[] = [
  level,
  kebabCase,
  fileLength,
  functionLength,
  barrel,
  name,
]
