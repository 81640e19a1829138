// Proves that the tree keeps its shape: who imports whom, where SQL, time, programs and adapters live, how long and how
// named things are. And that each rule finds a violation that is planted for it, so that none of them is asleep.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { exceptions, withoutExceptions } from './exceptions.ts'
import { domains, levels } from './levels.ts'
import { findViolations, rules } from './rules.ts'
import { readSource } from './source-file.ts'
import { readTree } from './tree.ts'

const top = join(import.meta.dirname, '..', '..')
const planted = join(import.meta.dirname, 'planted')

describe('the checkout', () => {
  const tree = readTree(top)
  const { violations, stale } = withoutExceptions(findViolations(tree), exceptions)

  test('is read as a whole', () => {
    for (const level of Object.keys(levels).filter((name) => name !== 'wire/*' && name !== 'bench'))
      assert.ok(
        tree.files.some(({ path }) => path.startsWith(`${level}/`)),
        `no file of ${level} was found`,
      )
    for (const domain of Object.keys(domains))
      assert.ok(tree.has(`control-plane/domains/${domain}/index.ts`), `domain ${domain} is gone`)
  })

  for (const { name } of rules) {
    test(`keeps the rule ${name}`, () => {
      const broken = violations.filter(({ rule }) => rule === name)
      assert.equal(broken.length, 0, broken.map(describeFault).join(''))
    })
  }

  test('needs every exception as it is', () => {
    assert.deepEqual(stale, [])
  })
})

function describeFault({ path, line, text }: { path: string; line: number; text: string }): string {
  return `\n  ${path}:${line}  ${text}`
}

describe('planted violations', () => {
  // A comment `// breaks: rule, rule` stands at the end of the line, or as the first line for the file as a whole.
  const tree = readTree(planted)
  const expected = tree.files.flatMap(({ path }) =>
    readFileSync(join(planted, path), 'utf8')
      .split('\n')
      .flatMap((text, index) =>
        (/\/\/ breaks: ([a-z, -]+)$/.exec(text)?.[1] ?? '')
          .split(', ')
          .filter((rule) => rule !== '')
          .map((rule) => `${rule} ${path}:${index + 1}`),
      ),
  )
  const found = findViolations(tree).map(({ rule, path, line }) => `${rule} ${path}:${line}`)

  test('are all found, and nothing else', () => {
    assert.deepEqual([...new Set(found)].toSorted(), expected.toSorted())
  })

  test('exist for every rule', () => {
    const broken = new Set(expected.map((one) => one.split(' ')[0]))
    // Files of 501 lines and functions of 71 are better made than kept.
    const made = ['file-length', 'function-length']
    assert.deepEqual(
      rules.map(({ name }) => name).filter((name) => !broken.has(name)),
      made,
    )
  })

  test('of length are found at the first line too many', () => {
    const lengths = (path: string, text: string): string[] => {
      const file = readSource(path, text)
      const one = { files: [file], packages: new Map(), has: () => true, packageOf: () => 'base' }
      return findViolations(one).map(({ rule, lines }) => `${rule} ${lines}`)
    }
    const body = (lines: number): string =>
      `export function f() {\n${'  g()\n'.repeat(lines - 2)}}\n`
    assert.deepEqual(lengths('base/f.ts', body(70)), [])
    assert.deepEqual(lengths('base/f.ts', body(71)), ['function-length 71'])
    assert.deepEqual(lengths('base/f.ts', 'f()\n'.repeat(500)), [])
    assert.deepEqual(lengths('base/f.ts', 'f()\n'.repeat(501)), ['file-length 501'])
  })
})

describe('exceptions', () => {
  const fault = { rule: 'r', path: 'p', line: 1, text: '' }
  const exception = { rule: 'r', path: 'p', count: 1, reason: 'why' }

  test('cover so many, and no more', () => {
    const { violations, stale } = withoutExceptions([fault, { ...fault, line: 2 }], [exception])
    assert.deepEqual(violations, [{ ...fault, line: 2 }])
    assert.deepEqual(stale, [])
  })

  test('must go when they cover nothing, and shrink with what they cover', () => {
    assert.equal(withoutExceptions([], [exception]).stale.length, 1)
    const long = { ...exception, linesMax: 80 }
    assert.deepEqual(withoutExceptions([{ ...fault, lines: 80 }], [long]).violations, [])
    assert.equal(withoutExceptions([{ ...fault, lines: 81 }], [long]).violations.length, 1)
  })

  test('state a reason', () => {
    for (const { reason } of exceptions) assert.match(reason, /^\S+ \S+ \S+/)
  })
})
