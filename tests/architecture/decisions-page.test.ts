// Proves that decisions are numbered without gaps, listed, and name what enforces them; and that pages link to what exists.
import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

const top = join(import.meta.dirname, '..', '..')
const folder = join(top, 'docs', 'decisions')
const files = readdirSync(folder)
  .filter((name) => name !== 'README.md')
  .toSorted()

test('decisions are numbered without gaps and listed under their numbers', () => {
  const list = readFileSync(join(folder, 'README.md'), 'utf8')
  for (const [at, name] of files.entries()) {
    const number = String(at + 1).padStart(4, '0')
    assert.match(name, new RegExp(`^${number}-[a-z0-9-]+\\.md$`))
    assert.ok(list.includes(`[${number}](${name})`), `${name} is not in the list`)
    assert.match(readFileSync(join(folder, name), 'utf8'), new RegExp(`^# ${number} [A-Z]`))
  }
  assert.equal(list.match(/^\| \[/gm)?.length, files.length)
})

test('each decision says what, why, and what enforces it', () => {
  for (const name of files) {
    const text = readFileSync(join(folder, name), 'utf8')
    for (const part of ['**What.**', '**Why', '**Enforced by**'])
      assert.ok(text.includes(part), `${name}: ${part}`)
  }
})

const pages = globSync(['*.md', 'docs/**/*.md', 'wire/*/README.md', 'host-agent/**/README.md'], {
  cwd: top,
  exclude: (path) => path.includes('node_modules'),
})

// A path of ours in backquotes: it begins with one of our folders.
const ownPath =
  /`((?:base|contracts|client|runtime|wire|datapath|control-plane|host-agent|cli|lab|tests|tools|docs)\/[\w./*-]*)`/g

test('every file that a page names is there', () => {
  const missing: string[] = []
  for (const page of pages) {
    const text = readFileSync(join(top, page), 'utf8')
    for (const [, path = ''] of text.matchAll(ownPath)) {
      const isThere = path.includes('*')
        ? globSync(path, { cwd: top }).length > 0
        : existsSync(join(top, path))
      if (!isThere) missing.push(`${page}: ${path}`)
    }
    for (const [, path = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g))
      if (!existsSync(join(top, dirname(page), path))) missing.push(`${page}: ${path}`)
  }
  assert.deepEqual(missing, [])
})
