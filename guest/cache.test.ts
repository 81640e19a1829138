// Proves that an entry is made once, that only whole entries count, and that builders may meet, fail and be killed.
import assert from 'node:assert/strict'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findProcess, run, start } from '@nubo/runtime/process'
import { waitUntil } from '../tests/support/wait.ts'
import { cached, cachedVersions, nameOf } from './cache.ts'

const key = { kind: 'kernel', version: '6.1.10-2+b1~x', recipe: 'abcd' }
const NAME = 'kernel_6.1.10-2-b1-x_abcd'
const BUILDER = fileURLToPath(new URL('testing/slow-builder.ts', import.meta.url))

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'nubo-guest-cache-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'cache')
}

/** Writes two files and counts how often. */
class FakeBuilder {
  made = 0
  readonly make = async (into: string): Promise<void> => {
    this.made += 1
    await writeFile(join(into, 'vmlinuz'), `kernel ${this.made}`)
    await writeFile(join(into, 'vmlinux'), 'unpacked')
  }
}

describe('the cache', () => {
  it('makes an entry once, and finds it from then on', async (t) => {
    const folder = newFolder(t)
    const builder = new FakeBuilder()
    const path = await cached(folder, key, builder.make)
    assert.equal(path, join(folder, NAME))
    assert.equal(await cached(folder, key, builder.make), path)
    assert.equal(builder.made, 1)
    assert.deepEqual(readdirSync(path).toSorted(), ['entry.json', 'vmlinux', 'vmlinuz'])
    await cached(folder, { ...key, recipe: 'other' }, builder.make)
    assert.equal(builder.made, 2)
    assert.deepEqual(readdirSync(folder).toSorted(), [NAME, nameOf({ ...key, recipe: 'other' })])
  })

  it('makes an entry again of which a file is short or gone, or the record is', async (t) => {
    const folder = newFolder(t)
    const builder = new FakeBuilder()
    const damages: ((path: string) => void)[] = [
      (path) => truncateSync(join(path, 'vmlinuz'), 3),
      (path) => rmSync(join(path, 'vmlinux')),
      (path) => rmSync(join(path, 'entry.json')),
      (path) => writeFileSync(join(path, 'entry.json'), '{"vml'),
    ]
    const path = await cached(folder, key, builder.make)
    for (const [at, damage] of damages.entries()) {
      damage(path)
      assert.deepEqual(await cachedVersions(folder, key), [])
      await cached(folder, key, builder.make)
      assert.equal(builder.made, at + 2)
      assert.equal(readFileSync(join(path, 'vmlinuz'), 'utf8'), `kernel ${at + 2}`)
    }
    assert.deepEqual(readdirSync(folder), [NAME])
  })

  it('leaves nothing of what failed, and makes it then', async (t) => {
    const folder = newFolder(t)
    const builder = new FakeBuilder()
    const failing = async (into: string): Promise<void> => {
      await builder.make(into)
      throw new Error('no space')
    }
    await assert.rejects(cached(folder, key, failing), /no space/)
    assert.deepEqual(readdirSync(folder), [])
    await cached(folder, key, builder.make)
    assert.deepEqual(readdirSync(folder), [NAME])
  })

  it('lets builders meet: all get the first entry, whole', async (t) => {
    const folder = newFolder(t)
    const builder = new FakeBuilder()
    // All of them are at work before the first one may end.
    const { promise: allAtWork, resolve } = Promise.withResolvers<void>()
    const together = async (into: string): Promise<void> => {
      await builder.make(into)
      if (builder.made === 4) resolve()
      await allAtWork
    }
    const paths = await Promise.all([1, 2, 3, 4].map(() => cached(folder, key, together)))
    assert.deepEqual(new Set(paths), new Set([join(folder, NAME)]))
    assert.equal(builder.made, 4)
    assert.deepEqual(readdirSync(folder), [NAME])
    assert.deepEqual(await cachedVersions(folder, key), ['6.1.10-2-b1-x'])
  })

  it('counts nothing of a builder that was killed, and takes it away; one that lives is left alone', async (t) => {
    const folder = newFolder(t)
    const begun = (): string[] =>
      readdirSync(folder).filter((name) => readdirSync(join(folder, name)).includes('half'))
    mkdirSync(folder)
    const [killed, living] = [0, 1].map(() =>
      start({ argv: [process.execPath, BUILDER, folder, JSON.stringify(key)] }),
    )
    assert.ok(killed !== undefined && living !== undefined)
    t.after(() => Promise.all([killed.stop(), living.stop()]))
    await waitUntil(begun, (names) => names.length === 2)
    await killed.stop({ signal: 'SIGKILL' })
    assert.equal(findProcess(killed.pid), undefined)
    assert.deepEqual(await cachedVersions(folder, key), [])
    const builder = new FakeBuilder()
    await cached(folder, key, builder.make)
    assert.equal(builder.made, 1)
    const left = readdirSync(folder).toSorted()
    assert.equal(left.length, 2)
    assert.match(left[0] ?? '', new RegExp(`^\\.building-${living.pid}-`))
    assert.equal(left[1], NAME)
  })

  it('names versions, the highest first, of the recipe that is asked for', async (t) => {
    const folder = newFolder(t)
    const { make } = new FakeBuilder()
    for (const version of ['6.1.9-1', '6.1.10-1', '6.1.2-1'])
      await cached(folder, { ...key, version }, make)
    await cached(folder, { ...key, recipe: 'other', version: '7.0-1' }, make)
    assert.deepEqual(await cachedVersions(folder, key), ['6.1.10-1', '6.1.9-1', '6.1.2-1'])
    assert.deepEqual(await cachedVersions(join(folder, 'absent'), key), [])
  })

  it('keeps a few entries of a kind', async (t) => {
    const folder = newFolder(t)
    const { make } = new FakeBuilder()
    await cached(folder, { ...key, kind: 'guest' }, make)
    for (let version = 1; version <= 10; version += 1)
      await cached(folder, { ...key, version: String(version) }, make)
    assert.equal((await cachedVersions(folder, key)).length, 8)
    assert.equal((await cachedVersions(folder, { ...key, kind: 'guest' })).length, 1)
  })

  it('is readable for other accounts, and not to be written', async (t) => {
    const path = await cached(newFolder(t), key, new FakeBuilder().make)
    const { stdout } = await run({ argv: ['stat', '-c', '%a', path, join(path, 'vmlinuz')] })
    assert.equal(stdout, '755\n444\n')
  })
})
