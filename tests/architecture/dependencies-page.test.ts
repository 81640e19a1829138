// Proves that each dependency is justified on its page, and that what is installed is exactly what was looked at.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { tableRows } from './markdown.ts'

const top = join(import.meta.dirname, '..', '..')

interface Manifest {
  readonly name: string
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly scripts?: Record<string, string>
}
interface Locked {
  readonly version?: string
  readonly license?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly integrity?: string
  readonly optional?: boolean
  readonly inBundle?: boolean
  readonly hasInstallScript?: boolean
}

// proof: npm's documented formats; every field used is checked below
const readJson = <Shape>(path: string): Shape =>
  JSON.parse(readFileSync(join(top, path), 'utf8')) as Shape

const manifestPaths = globSync(['package.json', '*/package.json', 'wire/*/package.json'], {
  cwd: top,
})
const manifests = manifestPaths.map((path) => readJson<Manifest>(path))
const lockPaths = ['package-lock.json', 'bootstrap/package-lock.json']
const locks = lockPaths.map((path) => readJson<{ packages: Record<string, Locked> }>(path))
const locked = locks.flatMap(({ packages }) => Object.entries(packages))
const named = manifests.flatMap(({ dependencies, devDependencies }) =>
  Object.entries({ ...dependencies, ...devDependencies }),
)
const foreign = named.filter(([name]) => !name.startsWith('@nubo/'))

describe('docs/reference/dependencies.md', () => {
  const rows = tableRows(readFileSync(join(top, 'docs/reference/dependencies.md'), 'utf8'))

  test('names each package of the manifests once, in the version that is pinned', () => {
    assert.deepEqual(
      rows.map(([name, version]) => `${name} ${version}`).toSorted(),
      [...new Set(foreign.map(([name, version]) => `${name} ${version}`))].toSorted(),
    )
  })

  test('gives the licence that the package itself states', () => {
    for (const [name = '', , licence] of rows) {
      const found = locked.find(([path]) => path === `node_modules/${name}`)?.[1]
      assert.ok(found, `${name} is not in a lock file`)
      // The lock file of npm leaves the licence out where the package came without its full description.
      if (found.license !== undefined) assert.equal(licence, found.license, name)
    }
  })

  test('says what for, why not ourselves, and what removing costs', () => {
    for (const cells of rows) {
      assert.equal(cells.length, 6, cells[0])
      assert.ok(
        cells.every((cell) => cell.length > 0),
        cells[0],
      )
    }
  })
})

describe('the manifests', () => {
  test('pin exact versions, one for each package', () => {
    assert.ok(manifests.length >= 16)
    for (const [name, version] of named) assert.match(version, /^\d+\.\d+\.\d+$/, name)
    const versions = new Map(named)
    for (const [name, version] of named) assert.equal(version, versions.get(name), name)
  })

  test('run nothing on installation', () => {
    for (const { name, scripts } of manifests)
      assert.deepEqual(Object.keys(scripts ?? {}), [], name)
    for (const folder of ['', 'bootstrap/'])
      assert.match(readFileSync(join(top, `${folder}.npmrc`), 'utf8'), /^ignore-scripts=true$/m)
  })
})

describe('the lock files', () => {
  test('hold no package that wants to run something on installation', () => {
    assert.ok(locked.length > 100)
    const wanting = locked.filter(([, { hasInstallScript }]) => hasInstallScript === true)
    assert.deepEqual(
      wanting.map(([path]) => path),
      [],
    )
  })

  test('name no place to fetch from: any registry serves, the content is what is checked', () => {
    for (const [path, { resolved, link }] of locked)
      assert.ok(resolved === undefined || link === true, `${path} is fetched from ${resolved}`)
  })

  test('hold the content of everything that is installed here', () => {
    const workspaces = new Set(
      locked.flatMap(([, { link, resolved }]) => (link === true ? [resolved] : [])),
    )
    for (const [path, one] of locked) {
      // Not fetched: what is only for other platforms (known by version alone), and what lies inside another package.
      const isFetched = one.optional !== true && one.inBundle !== true && one.link !== true
      if (path === '' || workspaces.has(path) || !isFetched) continue
      assert.match(one.integrity ?? '', /^sha512-/, path)
    }
  })

  test('hold the versions that the manifests pin', () => {
    for (const [name, version] of foreign)
      assert.ok(
        locked.some(([path, one]) => path === `node_modules/${name}` && one.version === version),
        `${name} ${version}`,
      )
  })
})
