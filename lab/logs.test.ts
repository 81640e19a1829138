import assert from 'node:assert/strict'
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { lastLines, rotateLog, truncateLogs } from './logs.ts'

describe('logs', () => {
  let folder = ''
  let path = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nubo-logs-'))
    path = join(folder, 'engine.log')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const long = 'x'.repeat(17 * 2 ** 20)

  it('are moved aside before a start only when they are long', () => {
    rotateLog(path)
    writeFileSync(path, 'short')
    rotateLog(path)
    assert.equal(readFileSync(path, 'utf8'), 'short')
    writeFileSync(path, long)
    rotateLog(path)
    assert.equal(existsSync(path), false)
    assert.equal(statSync(`${path}.1`).size, long.length)
  })

  it('are emptied under a program that goes on appending', () => {
    const program = openSync(path, 'a')
    writeSync(program, long)
    truncateLogs(folder)
    writeSync(program, 'goes on')
    closeSync(program)
    assert.equal(readFileSync(path, 'utf8'), 'goes on')
    assert.equal(statSync(`${path}.1`).size, long.length)
  })

  it('tell their last lines, of which there may be none', () => {
    assert.equal(lastLines(path), '')
    writeFileSync(path, 'one\ntwo\n')
    assert.equal(lastLines(path), 'one | two')
    appendFileSync(path, `${'long line '.repeat(1_000)}\nthree\nfour\nfive\n`)
    assert.equal(lastLines(path), 'three | four | five')
  })
})
