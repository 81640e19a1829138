import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { labHome, type LabHome } from './home.ts'
import {
  makeHome,
  purgeHome,
  readState,
  requireLabHome,
  writeState,
  type LabState,
} from './state.ts'

const state: LabState = {
  version: 1,
  underlayIndex: 7,
  ports: { api: [7480, 7481], hostContract: [7443, 7444], registry: 5000 },
  hosts: [{ name: 'h1', zone: 'zone-1', rack: 'rack-1', joined: true }],
}

describe('state of a lab', () => {
  let home: LabHome
  beforeEach(() => {
    home = labHome(mkdtempSync(join(tmpdir(), 'nubo-state-')))
  })
  afterEach(() => rmSync(home.folder, { recursive: true, force: true }))

  it('comes back as it was written, readable by its owner only', () => {
    assert.equal(readState(home), undefined)
    writeState(home, state)
    assert.deepEqual(readState(home), state)
    assert.equal(statSync(home.stateFile).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(home.folder), ['state.json'])
  })

  it('is refused with a next step when it cannot be understood', () => {
    for (const text of [
      '',
      '{',
      '{"version":2}',
      JSON.stringify({ ...state, hosts: [{ name: '../x' }] }),
    ]) {
      writeFileSync(home.stateFile, text)
      assert.throws(
        () => readState(home),
        (error) =>
          isPlatformError(error, 'SETUP_FAILED') && /purge/.test(String(error.details['next'])),
      )
    }
  })

  it('makes a home only of a new, an empty or an own folder, because purging removes all of it', () => {
    makeHome(labHome(join(home.folder, 'new')))
    writeFileSync(join(home.folder, 'thesis.txt'), 'years of work')
    assert.throws(() => makeHome(home), /thesis\.txt/)
    assert.throws(() => requireLabHome(home), /thesis\.txt/)
    writeState(home, state)
    makeHome(home)
    requireLabHome(labHome(join(home.folder, 'nowhere')))
  })

  it('takes no folder that others can change, even if it looks like a lab', () => {
    writeState(home, state)
    for (const mode of [0o777, 0o1777, 0o720]) {
      chmodSync(home.folder, mode)
      for (const check of [makeHome, requireLabHome])
        assert.throws(() => check(home), /can be changed by other users/)
    }
  })

  it('makes a home that the account of the database can pass, whatever the mask', () => {
    const before = process.umask(0o077)
    try {
      const fresh = labHome(join(home.folder, 'fresh'))
      makeHome(fresh)
      assert.equal(statSync(fresh.folder).mode & 0o777, 0o711)
    } finally {
      process.umask(before)
    }
  })

  it('purges what is its own, and nothing else that lies there by now', () => {
    writeState(home, state)
    const paths = [home.log, home.secrets, home.postgres, home.registryStorage, home.socket]
    for (const path of [...paths, home.serverData('s1'), home.cliConfig, home.host('h100').docker])
      mkdirSync(path, { recursive: true })
    mkdirSync(join(home.folder, 'agent'))
    purgeHome(home)
    assert.deepEqual(readdirSync(home.folder), ['agent'])
  })

  it('purges all but what belongs to a disk', () => {
    writeState(home, state)
    mkdirSync(join(home.folder, 'lost+found'))
    mkdirSync(join(home.folder, 'h1/docker'), { recursive: true })
    purgeHome(home)
    assert.deepEqual(readdirSync(home.folder), ['lost+found'])
    makeHome(home) // a new disk is as good as empty
    rmSync(join(home.folder, 'lost+found'), { recursive: true })
    purgeHome(home)
    assert.equal(existsSync(home.folder), false)
    purgeHome(home)
  })
})
