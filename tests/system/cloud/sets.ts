import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { isApiError } from '@nubo/client'
import { signalProcess } from '@nubo/runtime'
import { cgroupLimitsOf } from '../../support/cgroup-limits.ts'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'

const container = (name: string, command: string[], more: object = {}) => ({
  name,
  image: 'busybox',
  command,
  stopTimeoutMs: 1_000,
  ...more,
})
const SLEEP = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done']

/** Bits of the capabilities (capability.h) by which a root inside could reach the host. */
const dangerous = {
  netAdmin: 12n,
  sysModule: 16n,
  sysRawio: 17n,
  sysPtrace: 19n,
  sysAdmin: 21n,
  sysBoot: 22n,
  mknod: 27n,
}

export function sets(cloudOf: () => TestCloud): void {
  describe('sets', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('sets')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
      await tenant.run({ name: 'peer', network: 'net', host: 'h1', command: SERVE })
    })
    after(() => tenant.clear())

    it('containers of one set share localhost and start in the order of their index', async () => {
      await tenant.run({
        name: 'pair',
        network: 'net',
        containers: [
          container('app', SLEEP, { index: 1 }),
          container('store', ['httpd', '-f', '-p', '127.0.0.1:8080', '-h', '/www'], {
            healthCheck: {
              command: ['sh', '-c', 'nc -w 1 127.0.0.1 8080 </dev/null'],
              intervalMs: 500,
            },
          }),
        ],
      })
      const found = await tenant.containersOf('pair')
      const startOf = (name: string) => found.find((one) => one.name === name)?.startedAtMs ?? 0
      assert.deepEqual(
        found.map(({ name }) => name),
        ['app', 'pause', 'store'],
      )
      assert.ok(startOf('store') < startOf('app'), JSON.stringify(found))
      const ask = 'printf "GET / HTTP/1.0\\r\\n\\r\\n" | nc 127.0.0.1 8080'
      const answer = await tenant.exec('pair', ['sh', '-c', ask], { container: 'app' })
      assert.match(answer.stdout, /Hello from a set/)
    })

    it('a program in a set gets its input, gives its output apart, its exit code, and a terminal', async () => {
      const command = ['sh', '-c', 'cat; echo wrong >&2; exit 7']
      assert.deepEqual(await tenant.exec('peer', command, { stdin: 'said\n' }), {
        exitCode: 7,
        stdout: 'said\n',
        stderr: 'wrong\n',
      })
      // The size of the terminal is there when the input is.
      const look = 'tty; read word; stty size; echo "read $word"; exit 3'
      const shell = await tenant.exec('peer', ['sh', '-c', look], { tty: true, stdin: 'abc\n' })
      assert.equal(shell.exitCode, 3)
      assert.match(shell.stdout, /^\/dev\/pts\/\d+\r\n[^]*24 80\r\nread abc\r\n$/)
      // The end of the input reaches a terminal as well, and takes nothing of the output with it.
      const copied = await tenant.exec('peer', ['cat'], { tty: true, stdin: 'one\ntwo\n' })
      assert.deepEqual(
        [copied.exitCode, copied.stdout.match(/one|two/g)?.length],
        [0, 4],
        JSON.stringify(copied),
      )
      const absent = await tenant.exec('peer', ['no-such-program'])
      assert.equal(absent.exitCode, 126)
      assert.match(absent.stdout + absent.stderr, /executable file not found/)
    })

    it('what a set prints can be followed, and asked for by its end', async () => {
      const count = 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done'
      await tenant.run({ name: 'talker', network: 'net', command: ['sh', '-c', count] })
      const params = { id: 'talker' }
      const read = async (asked: object, until: RegExp): Promise<string> => {
        const ticket = await tenant.client.setLogs({ params, body: asked })
        const stream = await tenant.client.openStream(ticket, {
          signal: AbortSignal.timeout(20_000),
        })
        stream.ended.catch(() => undefined) // it is left before its end
        let text = ''
        for await (const { bytes } of stream.output) {
          text += Buffer.from(bytes).toString()
          if (until.test(text)) break
        }
        stream.close()
        return text
      }
      const followed = await read({ follow: true }, /line 8\n/)
      assert.match(followed, /^line 1\nline 2\n[^]*line 7\nline 8\n/)
      const last = await read({ tail: 2 }, /never/)
      assert.match(last, /^line \d+\nline \d+\n$/)
      assert.equal(await read({ sinceMs: Date.now() + 3_600_000 }, /never/), '')
    })

    it('stopped, started and restarted it keeps its address; removed it leaves nothing', async () => {
      const params = { id: 'keeper' }
      const { address, host } = await tenant.run({
        name: 'keeper',
        network: 'net',
        host: 'h2',
        command: SERVE,
      })
      await tenant.done(await tenant.client.setStop({ params }))
      const stopped = await tenant.show('keeper')
      assert.equal(stopped.state, 'stopped')
      assert.deepEqual([stopped.address, stopped.host], [address, host])
      assert.equal(await tenant.reaches('peer', address).then((is) => is && 'answers'), 'answers')
      assert.equal(await tenant.fetch('peer', address), '', 'no server is there')
      await tenant.done(await tenant.client.setStart({ params }))
      const started = await cloud.container(await tenant.show('keeper'), 'main')
      await tenant.done(await tenant.client.setRestart({ params }))
      const restarted = await cloud.container(await tenant.show('keeper'), 'main')
      assert.ok(restarted.startedAtMs > started.startedAtMs)
      assert.equal((await tenant.show('keeper')).address, address)
      assert.match(await tenant.fetch('peer', address), /Hello from a set/)
      const set = await tenant.show('keeper')
      await tenant.remove('keeper')
      await assert.rejects(tenant.show('keeper'), (error) => isApiError(error, 'NOT_FOUND'))
      const ports = await tenant.client.listAll('portList')
      assert.ok(!ports.some((port) => port.address === address))
      assert.deepEqual(await cloud.containersOf(set), [])
    })

    it('one that needs more memory than it has is ended, told so, and started again', async () => {
      const eat = ['sh', '-c', 'sleep 1; tail /dev/zero']
      await tenant.create({
        name: 'eater',
        network: 'net',
        memoryBytes: 16 * 2 ** 20,
        command: eat,
      })
      const set = await tenant.waitSet(
        'eater',
        ({ containers: [main] }) => (main?.restarts ?? 0) > 0,
      )
      assert.equal(set.containers[0]?.reason?.code, 'OUT_OF_MEMORY', JSON.stringify(set))
      assert.equal(set.reason?.code, 'OUT_OF_MEMORY')
    })

    it('a command that does not exist fails the operation with the reason of the engine', async () => {
      const operation = await tenant.create({
        name: 'wrong',
        network: 'net',
        command: ['/no/such'],
      })
      const ended = await tenant.ended(operation)
      assert.equal(ended.state, 'failed')
      assert.equal(ended.reason?.code, 'CONTAINER_START_FAILED')
      assert.match(ended.reason?.text ?? '', /no such file or directory/)
    })

    it('an image that does not exist is refused at once, and nothing is half-made', async () => {
      const ports = await tenant.client.listAll('portList')
      await assert.rejects(
        tenant.create({
          name: 'never',
          network: 'net',
          containers: [container('main', SLEEP, { image: 'absent' })],
        }),
        (error) => isApiError(error, 'NOT_FOUND') && /absent/.test(error.message),
      )
      await assert.rejects(tenant.show('never'), (error) => isApiError(error, 'NOT_FOUND'))
      assert.equal((await tenant.client.listAll('portList')).length, ports.length)
    })

    it('a failing health check restarts its container', async () => {
      const check = { command: ['test', '!', '-e', '/tmp/ill'], intervalMs: 500, failuresMax: 2 }
      // A restart keeps the files of a container, so it heals itself when it begins.
      const heal = [
        'sh',
        '-c',
        'rm -f /tmp/ill; trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done',
      ]
      await tenant.run({
        name: 'patient',
        network: 'net',
        containers: [container('main', heal, { healthCheck: check })],
      })
      const before = await cloud.container(await tenant.show('patient'), 'main')
      await tenant.exec('patient', ['touch', '/tmp/ill'])
      const set = await tenant.waitSet(
        'patient',
        ({ state, containers: [main] }) => state === 'running' && (main?.restarts ?? 0) > 0,
      )
      assert.equal(set.containers[0]?.health, 'healthy')
      const again = await cloud.container(set, 'main')
      assert.ok(again.startedAtMs > before.startedAtMs)
    })

    it('when the process that holds its network is killed, the set is made anew with its address', async () => {
      const set = await tenant.run({ name: 'phoenix', network: 'net', host: 'h3', command: SERVE })
      const before = await cloud.containersOf(set)
      signalProcess((await cloud.container(set, 'pause')).pid, 'SIGKILL')
      await tenant.waitSet(
        'phoenix',
        ({ state, containers: [main] }) => state === 'running' && (main?.restarts ?? 0) > 0,
      )
      const after = await tenant.show('phoenix')
      const ids = new Set(before.map(({ id }) => id))
      assert.deepEqual(
        (await cloud.containersOf(after)).map(({ id, name }) => [name, ids.has(id)]),
        [
          ['main', false],
          ['pause', false],
        ],
      )
      assert.deepEqual([after.address, after.epoch], [set.address, set.epoch])
      assert.match(await tenant.fetch('peer', set.address), /Hello from a set/)
    })

    it('the kernel holds a set to its limits, whichever container takes', async () => {
      const set = await tenant.run({
        name: 'limited',
        network: 'net',
        cpuMillis: 250,
        memoryBytes: 24 * 2 ** 20,
        containers: [container('a', SLEEP), container('b', SLEEP, { cpuMillis: 100 })],
      })
      const [a, b] = await Promise.all(['a', 'b'].map((name) => cloud.container(set, name)))
      const limits = cgroupLimitsOf(a?.pid ?? 0)
      assert.equal(limits.cpuMillis, 250)
      assert.equal(limits.memoryBytes, 24 * 2 ** 20)
      assert.ok(limits.pids >= 16 && limits.pids <= 10_000, `pids: ${limits.pids}`)
      assert.equal(cgroupLimitsOf(b?.pid ?? 0).cpuMillis, 100)
    })

    it('root in a set, also through exec, has no power over the host', async () => {
      const { stdout } = await tenant.exec('peer', ['cat', '/proc/self/status', '/proc/1/status'])
      const all = (name: string) =>
        [...stdout.matchAll(new RegExp(`^${name}:\\s*(\\w+)`, 'gm'))].map(
          ([, value]) => value ?? '',
        )
      assert.deepEqual(all('NoNewPrivs'), ['1', '1'])
      assert.deepEqual(all('Seccomp'), ['2', '2'])
      for (const mask of [...all('CapEff'), ...all('CapBnd')])
        for (const [name, bit] of Object.entries(dangerous))
          assert.equal((BigInt(`0x${mask}`) >> bit) & 1n, 0n, `${name} in ${mask}`)
      for (const command of [
        'mount -t tmpfs none /tmp',
        'mknod /tmp/disk b 254 0',
        'ip link set eth0 down',
        'ip address add 10.0.1.99/24 dev eth0',
        'echo 1 >/proc/sys/kernel/sysrq',
        'hostname other',
      ])
        assert.notEqual((await tenant.exec('peer', ['sh', '-c', command])).exitCode, 0, command)
    })
  })
}
