import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { DEFAULT_HOME, labHome, realFolder } from './home.ts'
import { createLab } from './lab.ts'

describe('labHome', () => {
  it('gives the default home the name nubo, and each other one its own short name that stays', () => {
    assert.equal(labHome(DEFAULT_HOME).id, 'nubo')
    const one = labHome('/srv/one').id
    assert.match(one, /^nb[0-9a-z]{4}$/)
    assert.equal(labHome('/srv/one').id, one)
    assert.notEqual(labHome('/srv/two').id, one)
  })

  it('keeps each host apart', () => {
    const home = labHome('/srv/one')
    const [first, second] = [home.host('h1'), home.host('h2')].map((folders) =>
      Object.values(folders),
    )
    assert.ok(first !== undefined && second !== undefined)
    assert.deepEqual(
      first.filter((path) => second.includes(path)),
      [],
    )
  })

  it('keeps every socket within the 107 bytes that Linux allows', () => {
    const home = labHome(`/${'x'.repeat(69)}`)
    const sockets = [
      home.socket,
      `${home.host('h100').containerdSocket}.ttrpc`,
      `${home.host('h100').run}/ovs-vswitchd.ctl`,
      `${home.postgresRun}/.s.PGSQL.5432.lock`,
    ]
    for (const path of sockets) assert.ok(Buffer.byteLength(path) <= 107, path)
  })

  it('is one home under all names of its folder', (context) => {
    const base = realpathSync(mkdtempSync(join(tmpdir(), 'nubo-home-')))
    context.after(() => rmSync(base, { recursive: true, force: true }))
    mkdirSync(join(base, 'real'))
    symlinkSync('real', join(base, 'link'))
    assert.equal(realFolder(join(base, 'link/new/home')), join(base, 'real/new/home'))
    const home = createLab({ home: join(base, 'link') }).home
    assert.equal(home.folder, join(base, 'real'))
    assert.equal(home.id, labHome(join(base, 'real')).id)
  })

  it('refuses folders that would end badly', () => {
    for (const folder of [
      '/',
      'relative',
      `/${'x'.repeat(70)}`,
      '/with space',
      '/quote"',
      "/o'hara",
      '/new\nline',
    ]) {
      assert.throws(
        () => labHome(folder),
        (error) => isPlatformError(error, 'INVALID_INPUT'),
        folder,
      )
    }
  })
})
