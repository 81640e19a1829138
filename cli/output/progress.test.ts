import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sleep } from '@nubo/base'
import { fakeTerminal } from '../testing/terminal.ts'
import { startProgress } from './progress.ts'

test('in a pipe: a line for each change, nothing else', () => {
  const { surroundings, printed } = fakeTerminal({ isTty: false })
  const progress = startProgress(surroundings)
  for (const text of ['placing', 'placing', 'starting\u001b[2J']) progress.update(text)
  progress.note('server lost')
  progress.end()
  assert.equal(printed.stderr, 'placing\nstarting\nserver lost\n')
})

test('on a terminal: one living line that is gone at the end', async () => {
  const terminal = fakeTerminal({})
  const { surroundings, printed } = terminal
  terminal.resize(30, 24)
  const progress = startProgress(surroundings)
  progress.update('a text that is longer than the terminal is wide')
  await sleep(surroundings.clock, 250)
  progress.note('stays')
  progress.end()
  progress.end()
  const lines = printed.stderr.split('\r\u001b[2K')
  assert.ok(lines.length >= 4)
  assert.ok(lines.every((line) => line.length < 30))
  assert.match(printed.stderr, /stays\n/)
  assert.ok(printed.stderr.endsWith('\r\u001b[2K'))
})
