import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { isApiError } from '@nubo/client'
import { HOST_CONTRACT_LATEST, HOST_MESSAGE_BYTES_MAX } from '@nubo/contracts/host'
import { readIdentity, webSocketConnector } from '@nubo/host-agent'
import { busyboxTar } from '../../support/busybox.ts'
import { send } from '../../support/http.ts'
import { dockerArchive, ociLayout, tarOf } from '../../support/tar.ts'
import type { Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'

const MIB = 2 ** 20
/** Above what one server takes (CONNECTIONS_MAX), and with it well below what a test may open. */
const IDLE_CONNECTIONS = 2_600
const IDLE_MAX = 2_000
/** What hostile callers may make a server grow by; what it holds for them is bounded, but memory returns late. */
const GROWTH_BYTES_MAX = 200 * MIB

const file = (name: string, content = 'x') => tarOf([{ name, content }])
const zeros = gzipSync(Buffer.alloc(256 * MIB), { level: 1 })

const hostileArchives: Record<string, { bytes: Buffer; code: 'IMAGE_BROKEN' | 'TOO_LARGE' }> = {
  'a path upwards': { bytes: file('../../../../tmp/nubo-escape'), code: 'IMAGE_BROKEN' },
  'a path upwards after a while': { bytes: file('a/b/../../../escape'), code: 'IMAGE_BROKEN' },
  'an absolute path': { bytes: file('/etc/cron.d/nubo-escape'), code: 'IMAGE_BROKEN' },
  'a hard link to a file of the host': {
    bytes: tarOf([{ name: 'bin/x', type: '1', linkName: '../../../../etc/shadow' }]),
    code: 'IMAGE_BROKEN',
  },
  'a path upwards in a layer of docker save': {
    bytes: dockerArchive([file('../escape')]),
    code: 'IMAGE_BROKEN',
  },
  'a path upwards in a layer of an OCI layout': {
    bytes: ociLayout([gzipSync(file('../escape'))]),
    code: 'IMAGE_BROKEN',
  },
  'gzip of very much nothing': { bytes: zeros, code: 'TOO_LARGE' },
  'gzip of very much nothing as a layer': { bytes: ociLayout([zeros]), code: 'TOO_LARGE' },
  'a header that promises 32 TiB': {
    bytes: tarOf([{ name: 'bin/huge', sizeBytes: 2 ** 45 }]),
    code: 'TOO_LARGE',
  },
  'random bytes': {
    bytes: Buffer.from('not a tar, but long enough '.repeat(40)),
    code: 'IMAGE_BROKEN',
  },
  'an archive that is cut off': {
    bytes: file('bin/x', 'x'.repeat(9_000)).subarray(0, 4_000),
    code: 'IMAGE_BROKEN',
  },
}

function residentBytes(pid: number): number {
  return (
    1_024 * Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  )
}

export function badInput(cloudOf: () => TestCloud): void {
  describe('hostile callers', () => {
    let cloud: TestCloud
    let tenant: Tenant
    let url: string
    let token: string
    let pids: readonly number[]
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('hostile')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
      ;({
        servers: [url = ''],
        token,
      } = cloud.lab.access())
      pids = await Promise.all([cloud.pidOf('server-s1'), cloud.pidOf('server-s2')])
    })
    after(async () => {
      assert.deepEqual(
        await Promise.all([cloud.pidOf('server-s1'), cloud.pidOf('server-s2')]),
        pids,
        'no server has ended',
      )
      await cloud.restore()
      await tenant.clear()
    })

    const importBytes = (name: string, bytes: Buffer) =>
      tenant.client.imageImport({
        query: { name },
        open: async function* () {
          yield bytes
        },
      })

    it('image archives with bombs and path tricks are refused and leave nothing', async () => {
      const { home } = cloud.lab
      const left = () => ['s1', 's2'].flatMap((name) => globSync(`${home.serverData(name)}/**/*`))
      const blobs = () => globSync(`${home.registryStorage}/**/blobs/sha256/*/*/data`).length
      const [filesBefore, blobsBefore] = [left(), blobs()]
      for (const [what, { bytes, code }] of Object.entries(hostileArchives))
        await assert.rejects(
          importBytes('bad', bytes),
          (error) => isApiError(error, code) || assert.fail(`${what}: ${String(error)}`),
        )
      assert.deepEqual(left(), filesBefore)
      assert.equal(blobs(), blobsBefore)
      const images = await tenant.client.listAll('imageList')
      assert.deepEqual(
        images.map(({ name }) => name),
        ['busybox'],
      )
    })

    it('a file behind a symbolic link out of the image does not reach the host', async () => {
      const escape = `/tmp/nubo-escape-${process.pid}`
      const bytes = Buffer.concat([
        tarOf([
          { name: 'way', type: '2', linkName: '/tmp' },
          { name: `way/${escape.slice('/tmp/'.length)}`, content: 'x' },
        ]).subarray(0, -1_024), // without the end of an archive
        await busyboxTar(),
      ])
      const outcome = await importBytes('linked', bytes).then(
        async () => {
          const asked = { name: 'linked', network: 'net' }
          const containers = [{ name: 'main', image: 'linked', command: ['sleep', '1000'] }]
          return (await tenant.ended(await tenant.create({ ...asked, containers }))).state
        },
        (error: unknown) => isApiError(error, 'IMAGE_BROKEN') && 'refused',
      )
      assert.ok(outcome !== false, 'it is taken, or refused with a reason')
      assert.equal(existsSync(escape), false)
    })

    it('malformed, huge and deep bodies, unknown fields and tricks in paths are refused with 4xx', async () => {
      const post = (body: string) =>
        send(url, { method: 'POST', path: '/v1/networks', token, body })
      const codes: Record<string, number> = {
        malformed: (await post('{"name": ')).status,
        'not an object': (await post('[1, 2]')).status,
        deep: (await post('['.repeat(500_000))).status,
        'deep and whole': (await post(`${'['.repeat(200_000)}${']'.repeat(200_000)}`)).status,
        huge: (await post(`{"name": "${'x'.repeat(2 * MIB)}"}`)).status,
        'path upwards': (await send(url, { path: '/v1/sets/..%2f..%2fetc%2fpasswd', token }))
          .status,
        'broken escape': (await send(url, { path: '/v1/sets/%zz', token })).status,
        'long path': (await send(url, { path: `/v1/sets/${'a'.repeat(10_000)}`, token })).status,
        'no token': (await send(url, { path: '/v1/sets' })).status,
      }
      assert.deepEqual(codes, {
        malformed: 400,
        'not an object': 400,
        deep: 400,
        'deep and whole': 400,
        huge: 413,
        'path upwards': 400,
        'broken escape': 400,
        'long path': 400,
        'no token': 401,
      })
      const unknown = await post('{"name": "x", "cidr": "10.0.0.0/16", "vni": 7}')
      assert.equal(unknown.status, 400)
      assert.match(unknown.text, /vni/)
      assert.ok(!(await cloud.operator.listAll('networkList')).some(({ name }) => name === 'x'))
    })

    it('thousands of idle connections are bounded and closed; others are served meanwhile', async () => {
      const pid = await cloud.pidOf('server-s1')
      const before = residentBytes(pid)
      const { hostname, port } = new URL(url)
      const sockets: Socket[] = []
      let open = 0
      for (let at = 0; at < IDLE_CONNECTIONS; at++) {
        const socket = connect(Number(port), hostname)
        sockets.push(socket)
        open += 1
        socket.on('error', () => undefined).resume()
        socket.once('close', () => (open -= 1))
        if (at % 100 === 0) await once(socket, 'connect')
      }
      try {
        await waitUntil(
          () => open,
          (now) => now <= IDLE_MAX,
          { what: 'those above are closed' },
        )
        assert.ok(readdirSync(`/proc/${pid}/fd`).length <= IDLE_MAX + 200)
        assert.equal((await tenant.client.whoAmI()).token.role, 'member')
        await waitUntil(
          () => open,
          (now) => now === 0,
          { what: 'all idle ones are closed' },
        )
      } finally {
        for (const socket of sockets) socket.destroy()
      }
      assert.equal((await send(url, { path: '/v1/whoami', token })).status, 200)
      const growth = residentBytes(pid) - before
      assert.ok(growth < GROWTH_BYTES_MAX, `it grew by ${growth} bytes`)
    })

    it('a stream is closed that sends a frame beyond the contract', async () => {
      await tenant.run({ name: 'target', network: 'net' })
      const ticket = await tenant.client.setExec({
        params: { id: 'target' },
        body: { command: ['cat'], stdin: true },
      })
      for (const server of cloud.lab.access().servers) {
        const socket = new WebSocket(new URL(ticket.path, server.replace('http:', 'ws:')))
        const closed = once(socket, 'close')
        const opened = once(socket, 'open').then(() => socket.send(new Uint8Array(20 * MIB)))
        await Promise.race([closed, opened.catch(() => undefined)])
        await closed // the other server does not know the ticket
      }
      assert.equal((await tenant.exec('target', ['true'])).exitCode, 0)
    })

    it('who has no certificate of a host is not let in; a host that sends too much is cut off', async () => {
      const { home } = cloud.lab
      const identity = readIdentity(home.host('h3').agentState)
      assert.ok(identity !== undefined)
      const server = identity.servers[0] ?? ''
      const [host = '', port = ''] = server.split(':')
      const stranger = connectTls({ host, port: Number(port), rejectUnauthorized: false })
      stranger.on('error', () => undefined)
      stranger.on('secureConnect', () =>
        stranger.write('GET /host/v2/session HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n'),
      )
      let answer = ''
      stranger.on('data', (chunk: Buffer) => (answer += chunk.toString()))
      await once(stranger, 'close', { signal: AbortSignal.timeout(20_000) })
      assert.doesNotMatch(answer, /101 Switching/)

      const closed = Promise.withResolvers<string>()
      const channel = await webSocketConnector(() => identity).connect(
        server,
        { onText: () => undefined, onClose: closed.resolve },
        AbortSignal.timeout(20_000),
        [HOST_CONTRACT_LATEST],
      )
      channel.send('x'.repeat(HOST_MESSAGE_BYTES_MAX + 1))
      await closed.promise
      await cloud.hostIs('h3', 'ready')
      await tenant.run({ name: 'after', network: 'net', host: 'h3' })
    })
  })
}
