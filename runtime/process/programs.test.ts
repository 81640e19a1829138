import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { findProcess, ProgramError, run, start } from './programs.ts'

const folder = mkdtempSync(join(tmpdir(), 'nubo-programs-'))
after(() => rmSync(folder, { recursive: true, force: true }))

async function failureOf(work: Promise<unknown>): Promise<ProgramError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof ProgramError, String(error))
  return error
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000
  while (!isTrue()) {
    assert.ok(performance.now() < deadline, 'not reached in 5 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('run', () => {
  it('returns what a program wrote and gives it its input', async () => {
    const output = await run({ argv: ['sh', '-c', 'cat; echo warned >&2'], input: 'größe\n' })
    assert.deepEqual(output, { stdout: 'größe\n', stderr: 'warned\n' })
  })

  it('passes only the named environment', async () => {
    process.env['NUBO_TEST_LEAK'] = 'yes'
    const { stdout } = await run({ argv: ['env'], env: { WANTED: '1' } })
    delete process.env['NUBO_TEST_LEAK']
    assert.match(stdout, /^WANTED=1$/m)
    assert.match(stdout, /^LANG=C\.UTF-8$/m)
    assert.doesNotMatch(stdout, /NUBO_TEST_LEAK/)
  })

  it('never interprets arguments as shell text', async () => {
    const { stdout } = await run({ argv: ['printf', '%s', '$(id); `id` "x"'] })
    assert.equal(stdout, '$(id); `id` "x"')
  })

  it('tells the exit code and the end of stderr, but not the arguments', async () => {
    const error = await failureOf(
      run({ argv: ['sh', '-c', 'echo no such thing >&2; exit 3', 'secret-token'] }),
    )
    assert.deepEqual(error.failure, { at: 'exit', exitCode: 3 })
    assert.equal(error.message, 'sh: exit code 3: no such thing')
    assert.ok(isPlatformError(error, 'PROGRAM_FAILED'))
    assert.doesNotMatch(JSON.stringify([error.message, error.details]), /secret-token/)
  })

  it('tells the signal that ended it', async () => {
    const error = await failureOf(run({ argv: ['sh', '-c', 'kill -TERM $$'] }))
    assert.deepEqual(error.failure, { at: 'signal', signal: 'SIGTERM' })
  })

  it('names a program that does not exist', async () => {
    const error = await failureOf(run({ argv: ['nubo-no-such-program'] }))
    assert.equal(error.failure.at, 'spawn')
    assert.match(error.message, /nubo-no-such-program: cannot be started/)
    assert.match(String(error.cause), /ENOENT/)
  })

  it('kills the whole group at the deadline', async () => {
    const pidFile = join(folder, 'grandchild')
    const script = `sleep 60 & echo $! > ${pidFile}; wait`
    const error = await failureOf(run({ argv: ['sh', '-c', script], timeoutMs: 200 }))
    assert.equal(error.code, 'PROGRAM_TIMED_OUT')
    const grandchild = Number(readFileSync(pidFile, 'utf8'))
    await until(() => findProcess(grandchild) === undefined)
  })

  it('kills background children that a successful program left', async () => {
    const { stdout } = await run({ argv: ['sh', '-c', 'sleep 60 >/dev/null 2>&1 & echo $!'] })
    await until(() => findProcess(Number(stdout)) === undefined)
  })

  it('does not wait for ever for a process that escaped the group and holds the pipe', async () => {
    const { stdout } = await run({
      argv: ['sh', '-c', 'setsid sleep 30 & echo $!'],
      timeoutMs: 20_000,
    })
    const escaped = Number(stdout)
    assert.ok(findProcess(escaped) !== undefined)
    process.kill(escaped, 'SIGKILL')
  })

  it('stops a program that writes without end', async () => {
    const error = await failureOf(run({ argv: ['yes'], outputBytesMax: 10_000 }))
    assert.deepEqual(error.failure, { at: 'output-limit', outputBytesMax: 10_000 })
  })

  it('stops when the caller aborts, also before the start', async () => {
    const control = new AbortController()
    const running = run({ argv: ['sleep', '60'], signal: control.signal })
    control.abort(new Error('changed my mind'))
    const error = await failureOf(running)
    assert.equal(error.failure.at, 'aborted')
    assert.match(String(error.cause), /changed my mind/)
    const early = await failureOf(run({ argv: ['sleep', '60'], signal: control.signal }))
    assert.equal(early.failure.at, 'aborted')
  })

  it('survives a program that does not read its input', async () => {
    await run({ argv: ['true'], input: 'x'.repeat(4_000_000) })
  })
})

describe('start', () => {
  it('appends to the log and tells the exit', async () => {
    const logFile = join(folder, 'log')
    for (const word of ['one', 'two']) {
      const program = start({ argv: ['sh', '-c', `echo ${word}; exit 7`], logFile })
      assert.deepEqual(await program.exited, { code: 7, signal: null })
    }
    assert.equal(readFileSync(logFile, 'utf8'), 'one\ntwo\n')
  })

  it('fails at once for a program that does not exist', () => {
    assert.throws(() => start({ argv: ['nubo-no-such-program'] }), ProgramError)
  })

  it('stops politely, then by force, with the whole group; twice is once', async () => {
    const pidFile = join(folder, 'stubborn')
    const script = `trap '' TERM; sleep 60 & echo $! > ${pidFile}; while true; do sleep 0.05; done`
    const program = start({ argv: ['sh', '-c', script] })
    await until(() => {
      try {
        return readFileSync(pidFile, 'utf8').endsWith('\n')
      } catch {
        return false
      }
    })
    assert.deepEqual(await program.stop({ graceMs: 100 }), { code: null, signal: 'SIGKILL' })
    assert.deepEqual(await program.stop(), { code: null, signal: 'SIGKILL' })
    await until(() => findProcess(Number(readFileSync(pidFile, 'utf8'))) === undefined)

    const polite = start({ argv: ['sleep', '60'] })
    assert.deepEqual(await polite.stop(), { code: null, signal: 'SIGTERM' })
  })

  it(
    'runs as another user, keeping its pid',
    { skip: process.getuid?.() === 0 ? false : 'needs root' },
    async () => {
      const logFile = join(folder, 'user-log')
      const program = start({
        argv: ['sh', '-c', 'echo $$; id -u; id -G'],
        user: { uid: 65534, gid: 65534 },
        logFile,
      })
      await program.exited
      assert.equal(readFileSync(logFile, 'utf8'), `${program.pid}\n65534\n65534\n`)
    },
  )
})

describe('findProcess', () => {
  it('knows this process and tells a zombie from a living one', async () => {
    assert.equal(findProcess(process.pid)?.pid, process.pid)
    // The shell execs into a program that never waits, so its dead child stays a zombie.
    const logFile = join(folder, 'zombie')
    const program = start({ argv: ['sh', '-c', 'sleep 0.01 & echo $!; exec sleep 60'], logFile })
    await until(() => readFileSync(logFile, 'utf8').endsWith('\n'))
    const child = Number(readFileSync(logFile, 'utf8'))
    await until(() => readFileSync(`/proc/${child}/stat`, 'utf8').includes(') Z '))
    assert.equal(findProcess(child), undefined)
    await program.stop()
  })
})

describe('a program that ended long ago', () => {
  it('is not mixed up with another one that got its number', async () => {
    // A pid namespace of its own, where the next number can be chosen and nobody else takes it.
    const module = JSON.stringify(new URL('programs.ts', import.meta.url).href)
    const script = `
      import { spawn } from 'node:child_process'
      import { readFileSync, writeFileSync } from 'node:fs'
      import { findProcess, start } from ${module}
      const old = start({ argv: ['true'] })
      await old.exited
      writeFileSync('/proc/sys/kernel/ns_last_pid', String(old.pid - 1))
      const other = spawn('sleep', ['30'], { detached: true, stdio: 'ignore' })
      const ended = new Promise((resolve) => other.once('exit', resolve))
      await old.stop()
      const first = await Promise.race([ended.then(() => 'killed'), new Promise((resolve) => setTimeout(resolve, 300, 'lives'))])
      console.log(other.pid === old.pid, first)
      other.kill('SIGKILL')`
    const { stdout } = await run({
      argv: [
        'unshare',
        '--pid',
        '--fork',
        '--mount-proc',
        '--kill-child',
        '--',
        process.execPath,
        '--input-type=module',
        '--eval',
        script,
      ],
    })
    assert.equal(stdout.trim(), 'true lives')
  })
})
