import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { labHome, type LabHome } from './home.ts'
import { makeHome, readState, writeState, type LabState } from './state.ts'

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
    writeState(home, state)
    makeHome(home)
  })
})
