import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry, SetDriver } from '../set-driver.ts'
import { hasCode, textOf, until, WAIT_MS, type Stage } from './stage.ts'

/** Programs beside those of containers. */
export function execTests(stage: Stage): void {
  void test('exec: streams, exit codes, input', async () => {
    const set = await stage.started()
    const echo = await stage.driver.exec(set.setId, 'main', { command: stage.rig.execs.echo('hi') })
    assert.equal(echo.stdin, null)
    assert.deepEqual(await textOf(echo), { stdout: 'hi\n', stderr: '' })
    assert.equal(await echo.exitCode, 0)
    const fail = await stage.driver.exec(set.setId, 'main', {
      command: stage.rig.execs.fail(7, 'no'),
    })
    assert.deepEqual(await textOf(fail), { stdout: '', stderr: 'no\n' })
    assert.equal(await fail.exitCode, 7)
    const cat = await stage.driver.exec(set.setId, 'main', {
      command: stage.rig.execs.cat,
      stdin: true,
    })
    cat.stdin?.write('one ')
    cat.stdin?.end('two')
    assert.deepEqual(await textOf(cat), { stdout: 'one two', stderr: '' })
    assert.equal(await cat.exitCode, 0)
    await stage.driver.removeSet(set.setId)
  })

  void test('exec: a TTY is one stream; signals and closing end the program', async () => {
    const set = await stage.started()
    const tty = await stage.driver.exec(set.setId, 'main', {
      command: stage.rig.execs.fail(2, 'no'),
      tty: true,
      columns: 100,
      rows: 30,
    })
    const { stdout, stderr } = await textOf(tty)
    assert.match(stdout, /^no\r?\n$/)
    assert.equal(stderr, '')
    assert.equal(await tty.exitCode, 2)
    const hanging = await stage.driver.exec(set.setId, 'main', { command: stage.rig.execs.hang })
    const reading = textOf(hanging)
    await assert.rejects(hanging.signal('KILL; rm'), hasCode('INVALID_INPUT'))
    await hanging.signal('SIGKILL')
    await reading
    assert.equal(await hanging.exitCode, 137)
    await hanging.signal('SIGKILL')
    hanging.close()
    const closed = await stage.driver.exec(set.setId, 'main', { command: stage.rig.execs.hang })
    const cut = textOf(closed).catch(() => null)
    closed.close()
    closed.close()
    await assert.rejects(closed.exitCode, hasCode('NOT_ALLOWED_NOW'))
    await cut
    await stage.driver.removeSet(set.setId)
  })

  void test('exec in nobody, and in a container that has ended', async () => {
    const set = await stage.started()
    const request = { command: stage.rig.execs.echo('x') }
    await assert.rejects(stage.driver.exec(set.setId, 'nobody', request), hasCode('NOT_FOUND'))
    await stage.driver.stopContainer(set.setId, 'main', 0)
    await assert.rejects(stage.driver.exec(set.setId, 'main', request), hasCode('NOT_ALLOWED_NOW'))
    await stage.driver.removeSet(set.setId)
  })
}

/** Health checks and logs. */
export function logTests(stage: Stage): void {
  void test('a health check is good, bad, or late', async () => {
    const set = await stage.started()
    const probe = async (
      command: readonly string[],
      timeoutMs: number,
    ): ReturnType<SetDriver['probe']> =>
      await stage.driver.probe(set.setId, 'main', command, timeoutMs)
    assert.deepEqual(await probe(stage.rig.execs.echo('fine'), WAIT_MS), {
      ok: true,
      exitCode: 0,
      output: 'fine\n',
    })
    assert.deepEqual(await probe(stage.rig.execs.fail(1, 'ill'), WAIT_MS), {
      ok: false,
      exitCode: 1,
      output: 'ill\n',
    })
    const late = await probe(stage.rig.execs.hang, 50)
    assert.deepEqual([late.ok, late.exitCode], [false, null])
    await stage.driver.stopContainer(set.setId, 'main', 0)
    await assert.rejects(probe(stage.rig.execs.echo('x'), 1_000), hasCode('NOT_ALLOWED_NOW'))
    await stage.driver.removeSet(set.setId)
  })

  void test('logs: what was written, the end of it, and from a time on', async () => {
    const set = await stage.started({
      containers: [stage.container({ command: stage.rig.commands.print('one', 'two', 'three') })],
    })
    const read = async (request: { sinceMs?: number; tail?: number }): Promise<LogEntry[]> => {
      const entries: LogEntry[] = []
      for await (const entry of stage.driver.logs(set.setId, 'main', request)) entries.push(entry)
      return entries
    }
    const texts = (entries: LogEntry[]): string[] =>
      entries.map(({ bytes }) => Buffer.from(bytes).toString())
    const all = await until('three lines', async () => {
      const entries = await read({})
      return entries.length === 3 && entries
    })
    assert.deepEqual(texts(all), ['one\n', 'two\n', 'three\n'])
    assert.ok(all.every(({ stream, atNs }) => stream === 'stdout' && atNs > 0n))
    assert.deepEqual(texts(await read({ tail: 1 })), ['three\n'])
    assert.deepEqual(await read({ sinceMs: Number((all[2]?.atNs ?? 0n) / 1_000_000n) + 1 }), [])
    await stage.driver.removeSet(set.setId)
  })

  void test('logs: following ends with the container, or with its caller', async () => {
    const set = await stage.started({
      containers: [stage.container({ command: stage.rig.commands.print('one') })],
    })
    const following = (async () => {
      let text = ''
      for await (const { bytes } of stage.driver.logs(set.setId, 'main', { follow: true }))
        text += Buffer.from(bytes).toString()
      return text
    })()
    const caller = new AbortController()
    const cut = (async () => {
      for await (const _entry of stage.driver.logs(set.setId, 'main', {
        follow: true,
        signal: caller.signal,
      }))
        caller.abort()
    })()
    await cut
    await stage.driver.stopContainer(set.setId, 'main', 0)
    assert.equal(await following, 'one\n')
    await stage.driver.removeSet(set.setId)
    const nobody = stage.driver.logs(set.setId, 'main', {})[Symbol.asyncIterator]()
    await assert.rejects(nobody.next(), hasCode('NOT_FOUND'))
  })
}
