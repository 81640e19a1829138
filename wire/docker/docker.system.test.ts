// The client against a real Docker Engine that this test starts and removes.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import type { ContainerRequest } from './containers.ts'
import type { FollowedEvent } from './events.ts'
import type { ExecConnection } from './exec.ts'
import { isDockerError } from './errors.ts'
import {
  busyboxImage,
  collect,
  startRegistry,
  startTestEngine,
  waitUntil,
  type TestEngine,
  type TestImage,
} from './testing/index.ts'

const IMAGE = 'nt-busybox:1'

let engine: TestEngine
let image: TestImage

before(async () => {
  image = await busyboxImage()
  engine = await startTestEngine()
  await engine.client.images.load(Readable.from([image.saved(IMAGE)]))
})
after(async () => await engine.stop())

async function run(
  command: readonly string[],
  more: Partial<ContainerRequest> = {},
): Promise<string> {
  const { id } = await engine.client.containers.create({
    Image: IMAGE,
    Cmd: command,
    ...more,
    HostConfig: { NetworkMode: 'none', ...more.HostConfig },
  })
  await engine.client.containers.start(id)
  return id
}

async function textOf(connection: ExecConnection): Promise<{ stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' }
  for await (const chunk of connection.output) text[chunk.stream] += chunk.bytes.toString()
  return text
}

describe('engine', () => {
  test('says what it is', async () => {
    const version = await engine.client.version()
    assert.equal(Number(version.apiVersion) >= 1.41, true, version.apiVersion)
    const state = await engine.client.state()
    assert.equal(state.cgroupDriver, 'cgroupfs')
    assert.equal(state.isLiveRestore, true)
    assert.ok(state.cpus >= 1 && state.memoryBytes > 0)
  })
})

describe('images', () => {
  test('loading says what it loaded, and twice is once', async () => {
    const loaded = await engine.client.images.load(Readable.from([image.saved(IMAGE)]))
    assert.deepEqual(loaded, [IMAGE])
    assert.equal((await engine.client.images.inspect(IMAGE)).id, image.id)
    assert.equal((await engine.client.images.list({ reference: [IMAGE] })).length, 1)
  })

  test('tag, inspect by tag, remove; absent and used ones are told apart', async () => {
    await engine.client.images.tag(IMAGE, { repository: 'nt-other/name', tag: '2' })
    assert.equal((await engine.client.images.inspect('nt-other/name:2')).id, image.id)
    await engine.client.images.remove('nt-other/name:2')
    await assert.rejects(engine.client.images.inspect('nt-other/name:2'), { kind: 'not_found' })
    await run(['sleep', '1000'])
    await assert.rejects(engine.client.images.remove(image.id), { kind: 'conflict' })
  })

  test('a broken archive is refused', async () => {
    const half = image.saved(IMAGE).subarray(0, 100_000)
    await assert.rejects(engine.client.images.load(Readable.from([half])), (error) =>
      isDockerError(error),
    )
  })

  test('pulls by digest with a token, and says what is wrong otherwise', async (t) => {
    const registry = await startRegistry({ token: 'pull-token' })
    t.after(async () => await registry.close())
    const other = await busyboxImage([{ path: 'etc/other', content: 'x' }])
    registry.add('team/web', other)
    const pull = {
      repository: `${registry.address}/team/web`,
      reference: other.digest,
      auth: { serverAddress: registry.address, registryToken: 'pull-token' },
    }
    await assert.rejects(
      engine.client.images.pull({
        ...pull,
        auth: { serverAddress: registry.address, registryToken: 'wrong' },
      }),
      { kind: 'denied' },
    )
    await assert.rejects(
      engine.client.images.pull({ ...pull, reference: `sha256:${'0'.repeat(64)}` }),
      {
        kind: 'not_found',
      },
    )
    const seen: string[] = []
    await engine.client.images.pull({
      ...pull,
      onProgress: (progress) => seen.push(progress.status),
    })
    assert.ok(seen.length > 0)
    const pulled = await engine.client.images.inspect(`${pull.repository}@${other.digest}`)
    assert.equal(pulled.id, other.id)
    assert.deepEqual(pulled.repoDigests, [`${pull.repository}@${other.digest}`])
  })

  test('a pull is cut by its caller', async (t) => {
    const registry = await startRegistry()
    t.after(async () => await registry.close())
    const other = await busyboxImage([{ path: 'etc/other', content: 'y' }])
    registry.add('web', other)
    registry.mood = 'stall_blobs'
    const caller = new AbortController()
    const pull = engine.client.images.pull({
      repository: `${registry.address}/web`,
      reference: other.digest,
      signal: caller.signal,
      onProgress: () => caller.abort(),
    })
    await assert.rejects(pull, { kind: 'aborted' })
  })
})

describe('containers', () => {
  test('a life: created, running, exited, removed', async () => {
    const { containers } = engine.client
    const { id, warnings } = await containers.create(
      {
        Image: IMAGE,
        Cmd: ['sh', '-c', 'sleep 0.2; exit 3'],
        Labels: { a: 'b' },
        HostConfig: { NetworkMode: 'none' },
      },
      'nt-life',
    )
    assert.deepEqual(warnings, [])
    assert.equal((await containers.inspect('nt-life')).status, 'created')
    await containers.start(id)
    await containers.start(id)
    const running = await containers.inspect(id)
    assert.equal(running.status, 'running')
    assert.ok(running.pid !== null && running.startedAtMs !== null)
    assert.deepEqual(await containers.wait(id, { timeoutMs: 20_000 }), { exitCode: 3 })
    const exited = await containers.inspect(id)
    assert.deepEqual([exited.status, exited.exitCode, exited.pid], ['exited', 3, null])
    assert.ok((exited.finishedAtMs ?? 0) >= (exited.startedAtMs ?? Infinity))
    const listed = await containers.list({ label: ['a=b'] })
    assert.deepEqual(
      listed.map((found) => [found.id, found.names[0], found.status]),
      [[id, 'nt-life', 'exited']],
    )
    await containers.remove(id)
    await assert.rejects(containers.inspect(id), { kind: 'not_found' })
    await assert.rejects(containers.remove(id), { kind: 'not_found' })
  })

  test('a taken name, an absent image, an unknown command and a stopped container each have their error', async () => {
    const { containers } = engine.client
    await containers.create({ Image: IMAGE }, 'nt-taken')
    await assert.rejects(containers.create({ Image: IMAGE }, 'nt-taken'), { kind: 'conflict' })
    await assert.rejects(containers.create({ Image: 'nt-absent:1' }), { kind: 'not_found' })
    await assert.rejects(containers.create({ Image: IMAGE }, '../x'), { kind: 'bad_request' })
    await assert.rejects(run(['/no/such/command']), {
      kind: 'bad_request',
      message: /no such file/,
    })
    await assert.rejects(containers.kill('nt-taken', 'SIGTERM'), { kind: 'conflict' })
    await assert.rejects(containers.remove(await run(['sleep', '1000'])), { kind: 'conflict' })
  })

  test('stop gives the process its grace, then kills it; both ways stop twice', async () => {
    const { containers } = engine.client
    const polite = await run([
      'sh',
      '-c',
      'trap "exit 5" TERM; echo ready; while true; do sleep 0.05; done',
    ])
    await waitUntil('trap set', async () => (await collect(containers.logs(polite))).length > 0)
    await containers.stop(polite, 10)
    await containers.stop(polite, 10)
    assert.equal((await containers.inspect(polite)).exitCode, 5)
    const deaf = await run(['sh', '-c', 'trap "" TERM; echo ready; while true; do sleep 1; done'])
    await waitUntil('trap set', async () => (await collect(containers.logs(deaf))).length > 0)
    await containers.stop(deaf, 0)
    assert.equal((await containers.inspect(deaf)).exitCode, 137)
  })

  test('limits change on a running container', async () => {
    const id = await run(['sleep', '1000'], {
      HostConfig: { Memory: 64 << 20, MemorySwap: 64 << 20, CpuPeriod: 100_000, CpuQuota: 20_000 },
    })
    await engine.client.containers.update(id, {
      Memory: 128 << 20,
      MemorySwap: 128 << 20,
      CpuPeriod: 100_000,
      CpuQuota: 50_000,
      PidsLimit: 50,
    })
    const legacy = path.join(
      '/sys/fs/cgroup/memory',
      engine.cgroupParent,
      id,
      'memory.limit_in_bytes',
    )
    const unified = path.join('/sys/fs/cgroup', engine.cgroupParent, id, 'memory.max')
    const limit = readFileSync(existsSync(legacy) ? legacy : unified, 'utf8')
    assert.equal(Number(limit), 128 << 20)
  })

  test('an endless wait ends at its deadline', async () => {
    const id = await run(['sleep', '1000'])
    await assert.rejects(engine.client.containers.wait(id, { timeoutMs: 50 }), { kind: 'timeout' })
  })
})

describe('logs', () => {
  test('both streams with times; tail and since choose', async () => {
    const id = await run(['sh', '-c', 'echo one; echo two >&2; echo three'])
    await engine.client.containers.wait(id, { timeoutMs: 20_000 })
    const entries = await collect(engine.client.containers.logs(id))
    assert.deepEqual(
      entries.map((entry) => `${entry.stream} ${entry.bytes.toString()}`).toSorted(),
      ['stderr two\n', 'stdout one\n', 'stdout three\n'],
    )
    const last = entries.at(-1)
    assert.ok(last !== undefined && Math.abs(last.atMs - Date.now()) < 60_000)
    assert.equal((await collect(engine.client.containers.logs(id, { tail: 1 }))).length, 1)
    assert.equal(
      (await collect(engine.client.containers.logs(id, { sinceMs: last.atMs + 1 }))).length,
      0,
    )
  })

  test('following ends with the container, or with its caller', async () => {
    const id = await run(['sh', '-c', 'echo begun; sleep 0.3; echo ended'])
    const texts: string[] = []
    for await (const entry of engine.client.containers.logs(id, { follow: true })) {
      texts.push(entry.bytes.toString())
    }
    assert.deepEqual(texts, ['begun\n', 'ended\n'])
    const caller = new AbortController()
    const endless = await run(['sh', '-c', 'echo begun; sleep 1000'])
    const following = engine.client.containers.logs(endless, {
      follow: true,
      signal: caller.signal,
    })
    assert.equal((await following.next()).done, false)
    caller.abort()
    await assert.rejects(following.next(), { kind: 'aborted' })
  })

  test('a line longer than a frame comes in pieces, none lost', async () => {
    const id = await run([
      'sh',
      '-c',
      'head -c 100000 /dev/zero | sed "s/./x/g"; yes | head -c 100000; echo',
    ])
    await engine.client.containers.wait(id, { timeoutMs: 20_000 })
    const entries = await collect(engine.client.containers.logs(id))
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes.length, 0)
    assert.ok(bytes >= 100_000, String(bytes))
  })
})

describe('exec', () => {
  let id = ''
  before(async () => {
    id = await run(['sleep', '1000'])
  })

  async function exitCodeOf(exec: string): Promise<number | null> {
    await waitUntil(
      'the exec ended',
      async () => !(await engine.client.execs.inspect(exec)).isRunning,
    )
    return (await engine.client.execs.inspect(exec)).exitCode
  }

  test('without a TTY the streams stay apart, stdin ends, and the exit code comes back', async () => {
    const exec = await engine.client.execs.create(id, {
      command: ['sh', '-c', 'cat; echo $WHO >&2; pwd; exit 7'],
      env: ['WHO=me'],
      workingDir: '/tmp',
      hasStdin: true,
    })
    const connection = await engine.client.execs.start(exec, {})
    connection.stdin.end('typed\n')
    assert.deepEqual(await textOf(connection), { stdout: 'typed\n/tmp\n', stderr: 'me\n' })
    assert.equal(await exitCodeOf(exec), 7)
  })

  test('with a TTY there is one stream, and its size can change', async () => {
    const exec = await engine.client.execs.create(id, {
      command: ['sh', '-c', 'read x; stty size; echo err >&2'],
      hasTty: true,
      hasStdin: true,
    })
    const connection = await engine.client.execs.start(exec, { hasTty: true })
    await engine.client.execs.resize(exec, { columns: 101, rows: 33 })
    connection.stdin.write('go\n')
    const { stdout, stderr } = await textOf(connection)
    assert.match(stdout, /33 101\r\nerr/)
    assert.equal(stderr, '')
    assert.equal(await exitCodeOf(exec), 0)
  })

  test('large output arrives complete at a slow reader', async () => {
    const exec = await engine.client.execs.create(id, {
      command: ['head', '-c', '3000000', '/dev/zero'],
    })
    const connection = await engine.client.execs.start(exec, {})
    let bytes = 0
    for await (const chunk of connection.output) {
      bytes += chunk.bytes.length
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(bytes, 3_000_000)
  })

  test('an unknown command, an unknown container and a stopped one are told apart', async () => {
    const { client } = engine
    const bad = await client.execs.create(id, { command: ['/no/such'] })
    const outcome = await client.execs.start(bad, {}).then(
      async (connection) => await textOf(connection).then((text) => text.stdout + text.stderr),
      (error: Error) => error.message,
    )
    assert.match(outcome, /no such file/)
    await assert.rejects(client.execs.create('nt-nobody', { command: ['true'] }), {
      kind: 'not_found',
    })
    const stopped = await run(['true'])
    await client.containers.wait(stopped, { timeoutMs: 20_000 })
    await assert.rejects(client.execs.create(stopped, { command: ['true'] }), { kind: 'conflict' })
    await assert.rejects(client.execs.start('nt-nothing', {}), { kind: 'not_found' })
  })

  test('the pid of a running exec is that of a process of this machine', async () => {
    const exec = await engine.client.execs.create(id, { command: ['sleep', '1000'] })
    const connection = await engine.client.execs.start(exec, {})
    // The stream may be open a moment before the process runs.
    let pid: number | null = null
    await waitUntil('it runs', async () => {
      pid = (await engine.client.execs.inspect(exec)).pid
      return pid !== null
    })
    assert.ok(pid !== null)
    process.kill(pid, 'SIGKILL')
    await textOf(connection)
    assert.equal(await exitCodeOf(exec), 137)
  })
})

describe('events', () => {
  test('the past since a time, filtered by label', async () => {
    const sinceMs = Date.now() - 1_000
    const id = await run(['true'], { Labels: { 'nt-events': '1' } })
    await engine.client.containers.wait(id, { timeoutMs: 20_000 })
    const untilMs = Date.now() + 300
    const filters = { type: ['container'], label: ['nt-events=1'] }
    const events = await collect(engine.client.events({ filters, sinceMs, untilMs }))
    assert.deepEqual(
      events.map((event) => event.action),
      ['create', 'start', 'die'],
    )
    assert.equal(events.at(-1)?.attributes['exitCode'], '0')
  })

  test('following goes on after the engine was killed and started again, and containers live on', async () => {
    const sleeper = await run(['sleep', '1000'], { Labels: { 'nt-follow': '1' } })
    const { pid } = await engine.client.containers.inspect(sleeper)
    const caller = new AbortController()
    const seen: FollowedEvent[] = []
    const following = (async () => {
      const request = { signal: caller.signal, filters: { label: ['nt-follow=1'] } }
      for await (const followed of engine.client.followEvents(request)) seen.push(followed)
    })()
    const count = (kind: FollowedEvent['kind']): number =>
      seen.filter((followed) => followed.kind === kind).length
    await waitUntil('connected', () => count('connected') === 1)
    await engine.kill()
    await waitUntil('lost', () => count('lost') > 0)
    await engine.start()
    await waitUntil('connected again', () => count('connected') === 2)
    assert.equal((await engine.client.containers.inspect(sleeper)).pid, pid)
    await engine.client.containers.kill(sleeper, 'SIGKILL')
    await waitUntil('the death is told', () =>
      seen.some((followed) => followed.kind === 'event' && followed.event.action === 'die'),
    )
    caller.abort()
    await following
  })
})

/** That nothing of an engine in this folder is left on the machine. */
function assertGone(home: string, cgroupParent: string): void {
  assert.equal(existsSync(home), false)
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(home), false)
  for (const name of readdirSync('/sys/fs/cgroup')) {
    assert.equal(existsSync(path.join('/sys/fs/cgroup', name, cgroupParent)), false, name)
  }
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let commandLine = ''
    try {
      commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    } catch {
      // Ended while we looked.
    }
    assert.equal(commandLine.includes(`${home}/`), false, commandLine)
  }
}

describe('the test engine', () => {
  test('leaves nothing behind, even after it was killed', async () => {
    const other = await startTestEngine()
    await other.client.images.load(Readable.from([image.saved(IMAGE)]))
    const { id } = await other.client.containers.create({
      Image: IMAGE,
      Cmd: ['sleep', '1000'],
      HostConfig: { NetworkMode: 'none' },
    })
    await other.client.containers.start(id)
    await other.kill()
    await other.stop()
    await other.stop()
    assertGone(path.dirname(other.socketPath), other.cgroupParent)
  })

  test('clears what a killed test run has left', async () => {
    const program = `
      import { startTestEngine } from ${JSON.stringify(new URL('./testing/engine.ts', import.meta.url).href)}
      const { socketPath, cgroupParent } = await startTestEngine()
      console.log(JSON.stringify([socketPath, cgroupParent]))
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program])
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const [socketPath, cgroupParent] = JSON.parse(line.toString()) as [string, string]
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.equal(existsSync(socketPath), true)
    const next = await startTestEngine()
    await next.stop()
    assertGone(path.dirname(socketPath), cgroupParent)
  })
})
