// Proves that the rules see code where there is code, and nothing where there are comments, texts and patterns.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTokens } from './lexer.ts'

const words = (text: string): string[] =>
  readTokens(text)
    .tokens.filter((token) => token.kind === 'word')
    .map((token) => token.text)

test('comments, strings and patterns hold no code', () => {
  assert.deepEqual(words(`a // b\n/* c\n d */ 'e' + "f\\"g" + /h'i[/"]/u.j`), ['a', 'j'])
})

test('a template holds code only in its braces, at any depth', () => {
  assert.deepEqual(words('a`b${c({ d: `e${f}g` })}h` + i'), ['a', 'c', 'd', 'f', 'i'])
})

test('a slash divides after a value and begins a pattern elsewhere', () => {
  const kinds = (text: string): number =>
    readTokens(text).tokens.filter((token) => token.kind === 'regex').length
  assert.equal(kinds('a / b / c'), 0)
  assert.equal(kinds('(a) / b[0] / c! / d'), 0)
  assert.equal(kinds('return /a/.test(b) && !/c/.test(d)'), 2)
})

test('lines are counted through everything that spans lines', () => {
  const { tokens } = readTokens('/*\n*/`\n${\na}`\nb')
  assert.deepEqual(
    tokens.filter((token) => token.kind === 'word').map((token) => [token.text, token.line]),
    [
      ['a', 4],
      ['b', 5],
    ],
  )
})

test('what is not TypeScript is an error and no silence', () => {
  assert.throws(() => readTokens("const a = 'open\n"))
  assert.throws(() => readTokens('function f() {'))
  assert.throws(() => readTokens('`${'))
})
