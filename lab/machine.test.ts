import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { labHome, type LabHome } from './home.ts'
import { Machine, type MachineClaim } from './machine.ts'

describe('Machine', () => {
  let folder = ''
  let machine: Machine
  let setting = ''

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nubo-machine-'))
    machine = new Machine(join(folder, 'run'))
    setting = join(folder, 'rmem_default')
    writeFileSync(setting, '212992\n')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  function makeLab(name: string): LabHome {
    const home = labHome(join(folder, name))
    mkdirSync(home.folder)
    writeFileSync(home.stateFile, '{}')
    return home
  }
  const claim = (home: LabHome, mine: MachineClaim): Promise<MachineClaim[]> => {
    let seen: MachineClaim[] = []
    return machine
      .claim(home, async (taken) => {
        seen = taken
        return mine
      })
      .then(() => seen)
  }

  it('tells each lab what the others have claimed, and forgets labs whose home is gone', async () => {
    const [one, two] = [makeLab('one'), makeLab('two')]
    assert.deepEqual(await claim(one, { underlayIndex: 1, ports: [10] }), [])
    assert.deepEqual(await claim(two, { underlayIndex: 2, ports: [20] }), [
      { underlayIndex: 1, ports: [10] },
    ])
    assert.deepEqual(await claim(one, { underlayIndex: 1, ports: [10] }), [
      { underlayIndex: 2, ports: [20] },
    ])
    rmSync(two.folder, { recursive: true })
    assert.deepEqual(await claim(one, { underlayIndex: 1, ports: [10] }), [])
  })

  it('refuses a second home with the same short id', async () => {
    const one = makeLab('one')
    await claim(one, { underlayIndex: 1, ports: [] })
    const twin = { ...makeLab('twin'), id: one.id }
    await assert.rejects(claim(twin, { underlayIndex: 2, ports: [] }), /same short id/)
    assert.throws(() => machine.requireOwnId(twin), /same short id/)
    machine.requireOwnId(one)
    assert.deepEqual([machine.knows(one), machine.knows(twin)], [true, false])
    rmSync(one.folder, { recursive: true })
    machine.requireOwnId(twin)
  })

  it('does not keep settings for a lab whose home was removed by hand', async () => {
    const [one, two] = [makeLab('one'), makeLab('two')]
    await claim(one, { underlayIndex: 1, ports: [] })
    await claim(two, { underlayIndex: 2, ports: [] })
    await machine.raiseSetting(setting, 4_194_304)
    rmSync(two.folder, { recursive: true })
    await machine.release(one)
    assert.equal(readFileSync(setting, 'utf8').trim(), '212992')
  })

  it('puts a setting back when the last lab goes, and not before', async () => {
    const [one, two] = [makeLab('one'), makeLab('two')]
    await claim(one, { underlayIndex: 1, ports: [] })
    await machine.raiseSetting(setting, 4_194_304)
    await claim(two, { underlayIndex: 2, ports: [] })
    await machine.raiseSetting(setting, 4_194_304)
    await machine.release(one)
    assert.equal(readFileSync(setting, 'utf8').trim(), '4194304')
    await machine.release(two)
    assert.equal(readFileSync(setting, 'utf8').trim(), '212992')
    assert.equal(existsSync(join(folder, 'run')), false)
    await machine.release(two)
  })

  it('knows what to put back although it was killed right after the change', async () => {
    const one = makeLab('one')
    await claim(one, { underlayIndex: 1, ports: [] })
    await machine.raiseSetting(setting, 4_194_304)
    const afterTheKill = new Machine(join(folder, 'run'))
    await afterTheKill.raiseSetting(setting, 4_194_304)
    await afterTheKill.release(one)
    assert.equal(readFileSync(setting, 'utf8').trim(), '212992')
  })

  it('leaves a setting alone that is high enough, or that somebody else changed', async () => {
    const one = makeLab('one')
    await claim(one, { underlayIndex: 1, ports: [] })
    await machine.raiseSetting(setting, 100)
    assert.equal(readFileSync(setting, 'utf8').trim(), '212992')
    await machine.raiseSetting(setting, 4_194_304)
    writeFileSync(setting, '8388608')
    await machine.release(one)
    assert.equal(readFileSync(setting, 'utf8').trim(), '8388608')
  })

  it('removes folders that programs made, if they are empty and were not there before', async () => {
    const one = makeLab('one')
    const paths = ['there', 'made', 'made/inner', 'used'].map((name) => join(folder, name))
    const [there = '', made = '', inner = '', used = ''] = paths
    mkdirSync(there)
    await claim(one, { underlayIndex: 1, ports: [] })
    await machine.noteFolders(paths)
    mkdirSync(inner, { recursive: true })
    mkdirSync(used)
    writeFileSync(join(used, 'of-somebody-else'), '')
    await machine.release(one)
    assert.deepEqual(
      [there, made, used].map((path) => existsSync(path)),
      [true, false, true],
    )
  })
})
