import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { api, errorReply, type RouteName } from '@nubo/contracts'
import { errorCatalogue, errorStatus, isErrorCode } from '@nubo/base'
import { FakePowerControl } from '@nubo/control-plane'
import { systemClock } from '@nubo/runtime'
import { joinHost, type JoinedHost } from '../support/hosts.ts'
import { send, type HttpAsked, type HttpReply } from '../support/http.ts'
import { makeProject } from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { rootfsTar } from '../support/tar.ts'
import { recordKernelImage } from '../support/vm-image.ts'
import { waitUntil } from '../support/wait.ts'

/** An error of the one shape, with a code of the catalogue and the status that the code has. */
function assertRefused(reply: HttpReply, code: string, what: string): void {
  const error = errorReply.parse(reply.json)
  assert.ok(isErrorCode(error.code), `${what}: ${error.code}`)
  assert.equal(error.code, code, `${what}: ${error.message}`)
  assert.equal(reply.status, errorStatus[errorCatalogue[error.code].kind], what)
  assert.match(error.requestId, /^[0-9a-f-]{36}$/, what)
}

function nested(depth: number): string {
  return `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
}

test('bad requests get a 4xx of the one shape, on either server, and change nothing', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const token = shop.tokens.owner
  const network = { name: 'net', cidr: '10.0.0.0/16' }
  const create = (body: unknown, headers: Record<string, string> = {}): HttpAsked => ({
    method: 'POST',
    path: '/v1/networks',
    token,
    body,
    headers,
  })
  const show = (path: string): HttpAsked => ({ path, token })

  const cases: [what: string, code: string, asked: HttpAsked][] = [
    ['JSON that is none', 'INVALID_INPUT', create('{"name":')],
    ['an empty body', 'INVALID_INPUT', create('')],
    ['no body', 'INVALID_INPUT', { method: 'POST', path: '/v1/networks', token }],
    ['a list', 'INVALID_INPUT', create('[]')],
    ['null', 'INVALID_INPUT', create('null')],
    ['a number', 'INVALID_INPUT', create('1e999')],
    ['deep objects', 'INVALID_INPUT', create(nested(100_000))],
    ['deep lists', 'INVALID_INPUT', create('['.repeat(400_000) + ']'.repeat(400_000))],
    ['2 MiB', 'TOO_LARGE', create({ ...network, name: 'x'.repeat(2 ** 21) })],
    ['an unknown field', 'INVALID_INPUT', create({ ...network, nmae: 'typo' })],
    ['an unknown option', 'INVALID_INPUT', { ...create(network), path: '/v1/networks?dry=1' }],
    ['a prototype', 'INVALID_INPUT', create('{"__proto__":{"a":1},"name":"net"}')],
    ['a constructor', 'INVALID_INPUT', create('{"constructor":{"prototype":{}},"name":"net"}')],
    ['a name that is a number', 'INVALID_INPUT', create({ ...network, name: 1 })],
    ['a name that climbs', 'INVALID_INPUT', create({ ...network, name: '../../etc' })],
    ['a name with zero', 'INVALID_INPUT', create({ ...network, name: 'a\0b' })],
    ['another media type', 'INVALID_INPUT', create('name=net', { 'content-type': 'text/plain' })],
    ['a wrong charset', 'INVALID_INPUT', create(Buffer.from([0xff, 0xfe, 0x7b]))],
    ['a wrong length', 'INVALID_INPUT', create('{}', { 'content-length': 'two' })],
    ['an unknown call', 'NOT_FOUND', show('/v1/nothing')],
    ['a wrong method', 'NOT_FOUND', { ...show('/v1/whoami'), method: 'DELETE' }],
    ['a method of nobody', 'NOT_FOUND', { ...show('/v1/networks'), method: 'PATCH' }],
    ['HEAD of a watch', '', { ...show('/v1/watch'), method: 'HEAD' }],
    ['the root', 'NOT_FOUND', show('/')],
    ['a path that climbs', 'NOT_FOUND', show('/v1/networks/../../etc/passwd')],
    ['an encoded path', 'INVALID_INPUT', show('/v1/networks/..%2F..%2Fetc%2Fpasswd')],
    ['an encoded zero', 'INVALID_INPUT', show('/v1/networks/%00')],
    ['a broken escape', 'INVALID_INPUT', show('/v1/networks/%zz')],
    ['a broken escape in the query', 'INVALID_INPUT', show('/v1/networks?cursor=%zz')],
    ['a very long name', 'INVALID_INPUT', show(`/v1/networks/${'a'.repeat(5_000)}`)],
    ['a long name', 'INVALID_INPUT', show(`/v1/networks/${'a'.repeat(150)}`)],
    ['a twice given option', 'INVALID_INPUT', show('/v1/networks?project=shop&project=shop')],
    ['a limit that is none', 'INVALID_INPUT', show('/v1/networks?limit=all')],
    ['a body on a read', 'INVALID_INPUT', { ...show('/v1/whoami?x=1') }],
    [
      'a huge head',
      'TOO_LARGE',
      { ...show('/v1/whoami'), headers: { 'x-huge': 'x'.repeat(60_000) } },
    ],
    ['no token', 'UNAUTHENTICATED', { path: '/v1/whoami' }],
    [
      'another kind of token',
      'UNAUTHENTICATED',
      { path: '/v1/whoami', headers: { authorization: `Basic ${token}` } },
    ],
    ['a huge token', 'UNAUTHENTICATED', { path: '/v1/whoami', token: 'x'.repeat(8_000) }],
  ]
  for (const [what, code, asked] of cases) {
    await t.test(`${what}: ${code}`, async () => {
      for (const server of region.servers) {
        const reply = await send(server.url, asked)
        assert.ok(reply.status >= 400 && reply.status < 500, `${reply.status} ${reply.text}`)
        assert.ok(reply.text.length < 2_000, 'what was sent is not sent back')
        if (asked.method !== 'HEAD') assertRefused(reply, code, what)
      }
    })
  }

  await t.test('what is no HTTP at all is answered and closed', async () => {
    const { hostname, port } = new URL(region.server(0).url)
    for (const text of ['what\r\n\r\n', '\x16\x03\x01\x02\x00\x01', 'GET / HTTP/9.9\r\n\r\n']) {
      const socket = connect(Number(port), hostname)
      let answer = ''
      socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
      socket.on('error', () => undefined)
      socket.write(text)
      await once(socket, 'close')
      assert.match(answer, /^HTTP\/1\.1 400 [^]*"code":"INVALID_INPUT"/)
    }
  })

  await t.test('a WebSocket where none is, or with a token that is none, is refused', async () => {
    for (const path of ['/v1/whoami', '/v1/streams/x', `/v1/streams/${'a'.repeat(43)}`]) {
      const { hostname, port } = new URL(region.server(0).url)
      const socket = connect(Number(port), hostname)
      let answer = ''
      socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      )
      await once(socket, 'close')
      assert.match(answer, /^HTTP\/1\.1 40[04] /)
    }
  })

  assert.deepEqual((await shop.member.networkList()).items, [])
})

test('idle and slow connections are bounded and closed, and the API answers meanwhile', async (t) => {
  const CONNECTIONS_MAX = 800
  const region = await TestRegion.open(t, {
    limits: { headersTimeoutMs: 2_000, connectionsMax: CONNECTIONS_MAX },
  })
  const { hostname, port } = new URL(region.server(0).url)
  let open = 0
  let dropped = 0
  const sockets: Socket[] = []
  t.after(() => sockets.forEach((socket) => socket.destroy()))
  const dial = async (count: number, text: string): Promise<void> => {
    await Promise.all(
      Array.from({ length: count }, async () => {
        const socket = connect(Number(port), hostname)
        sockets.push(socket)
        socket.on('error', () => undefined)
        socket.on('close', () => {
          open--
          dropped++
        })
        // What is answered must be read, or the end would not be seen.
        socket.resume()
        await once(socket, 'connect')
        open++
        if (text !== '') socket.write(text)
      }),
    )
  }
  await dial(300, '')
  await dial(300, 'GET /v1/whoami HTTP/1.1\r\nHost: x\r\nX-Slow: ')
  assert.equal((await region.via(0).whoAmI()).serverName, 'server-1')
  await dial(400, '')
  await waitUntil(
    () => dropped,
    (count) => count >= 1_000 - CONNECTIONS_MAX,
    { what: 'connections beyond the limit are closed' },
  )
  await waitUntil(
    () => open,
    (count) => count === 0,
    { what: 'every idle connection is closed', timeoutMs: 15_000 },
  )
  assert.equal((await region.via(0).whoAmI()).serverName, 'server-1')
})

test('every call answers what its contract says, no more and no less', async (t) => {
  let plugged: JoinedHost | undefined
  const power = new FakePowerControl({
    clock: systemClock,
    isOn: () => plugged?.simulated.isRunning === true,
    powerOff: () => plugged?.simulated.powerOff() ?? Promise.resolve(),
  })
  const region = await TestRegion.open(t, { power })
  const token = region.operatorToken
  const visited = new Set<RouteName>()

  /** Makes the call as the contract describes it and holds the reply against its schema. */
  async function call(
    name: RouteName,
    asked: { id?: string; query?: string; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Record<string, unknown>> {
    const route = api[name]
    visited.add(name)
    const path = route.path.replace(':id', asked.id ?? '') + (asked.query ?? '')
    const reply = await send(region.server(visited.size % 2).url, {
      method: route.method,
      path,
      token,
      body: asked.body,
      headers: asked.headers ?? {},
    })
    assert.equal(reply.status, route.status, `${name}: ${reply.text}`)
    const parsed: unknown = route.reply.parse(reply.json)
    assert.deepEqual(reply.json, parsed, `${name} shows a field that its contract does not have`)
    assert.ok(typeof parsed === 'object' && parsed !== null)
    return { ...parsed }
  }
  const ended = (operation: Record<string, unknown>) =>
    call('operationShow', { id: String(operation['id']), query: '?waitMs=14000' })

  await joinHost(region, { name: 'host-1' })
  await call('whoAmI')
  await call('serverShow')
  await call('projectCreate', { body: { name: 'extra' } })
  await call('projectList')
  await call('projectRemove', { id: 'extra' })
  const made = await call('tokenCreate', { body: { name: 'ci' } })
  await call('tokenList')
  await call('tokenRevoke', { id: String(made['id']) })
  await call('hostInvite', { body: { name: 'host-2' } })
  await call('hostList')
  await call('hostShow', { id: 'host-1' })
  await call('hostCordon', { id: 'host-1' })
  await call('hostUncordon', { id: 'host-1' })
  assert.equal((await ended(await call('hostDrain', { id: 'host-1' })))['state'], 'done')
  await ended(await call('hostMaintenanceBegin', { id: 'host-1' }))
  await call('hostMaintenanceEnd', { id: 'host-1' })
  await call('hostRemove', { id: 'host-2' })
  plugged = await joinHost(region, { name: 'host-3' })
  const controller = {
    redfish: 'http://127.0.0.1:1/redfish/v1/Systems/1',
    user: 'u',
    password: 'p',
  }
  await call('hostPowerSet', { id: 'host-3', body: controller })
  await call('hostPowerShow', { id: 'host-3' })
  assert.equal(
    (await ended(await call('hostFence', { id: 'host-3', body: { force: true } })))['state'],
    'done',
  )
  await call('hostPowerClear', { id: 'host-3' })
  await call('brakeList')
  await call('accountCreate', { body: { name: 'alice' } })
  await call('accountList')
  await call('memberSet', { id: 'default', body: { role: 'owner' } })
  await call('memberSet', { id: 'alice', body: { role: 'viewer' } })
  await call('memberList')
  await call('memberRemove', { id: 'alice' })
  await call('accountRemove', { id: 'alice' })
  await call('quotaSet', { body: { instances: 5, volumes: null, networks: 'default' } })
  await call('quotaShow')
  await call('auditList')
  await call('networkCreate', { body: { name: 'net', cidr: '10.0.0.0/16' } })
  await call('networkList')
  await call('networkShow', { id: 'net' })
  await call('subnetCreate', { body: { network: 'net', name: 'sub', cidr: '10.0.1.0/24' } })
  await call('subnetList')
  await call('portCreate', { body: { name: 'port', network: 'net' } })
  await call('portList')
  await call('portShow', { id: 'port' })
  await call('portBind', { id: 'port', body: { host: 'host-1', interfaceName: 'tap0' } })
  await call('portUnbind', { id: 'port' })
  await call('portRemove', { id: 'port' })
  await call('imageImport', {
    query: '?name=web',
    body: rootfsTar(),
    headers: { 'content-type': 'application/octet-stream' },
  })
  await call('imageList')
  await call('imageShow', { id: 'web' })
  const containers = [{ name: 'main', image: 'web' }]
  await call('placeDryRun', { body: { name: 'web', network: 'net', containers } })
  const created = await call('setCreate', { body: { name: 'web', network: 'net', containers } })
  assert.equal((await ended(created))['state'], 'done')
  await call('setList')
  await call('setShow', { id: 'web' })
  await call('setPlacement', { id: 'web' })
  await call('setExec', { id: 'web', body: { command: ['true'] } })
  await call('setLogs', { id: 'web', body: {} })
  await ended(await call('setStop', { id: 'web' }))
  await ended(await call('setStart', { id: 'web' }))
  await ended(await call('setRestart', { id: 'web' }))
  const described = { name: 'web', network: 'net', containers, labels: { tier: 'front' } }
  await ended(await call('setUpdate', { id: 'web', body: described }))
  const manifest = { name: 'shop', sets: [{ ...described, labels: {} }] }
  const plan = await call('planCreate', { body: { manifest } })
  const apply = await call('applyCreate', { body: { manifest, check: plan['check'] } })
  assert.equal((await ended(apply))['state'], 'done')
  await call('applyShow', { id: String(apply['id']) })
  await call('operationList')
  await call('operationCancel', { id: String(created['id']) })
  await ended(await call('setRemove', { id: 'web' }))
  await call('imageRemove', { id: 'web' })
  const [project] = (await region.operator.projectList()).items
  assert.ok(project)
  await recordKernelImage(region, project, 'kernel')
  await call('vmCreate', { body: { name: 'vm', network: 'net', image: 'kernel' } })
  await call('vmList')
  await call('vmShow', { id: 'vm' })
  await call('vmPause', { id: 'vm' })
  await call('vmResume', { id: 'vm' })
  await call('vmRestart', { id: 'vm' })
  await call('vmStop', { id: 'vm', body: { force: true } })
  await call('vmStart', { id: 'vm' })
  await ended(await call('vmRemove', { id: 'vm' }))
  await call('subnetRemove', { id: 'sub' })
  await call('networkRemove', { id: 'net' })

  visited.add('watch')
  const { revision } = await region.operator.networkList()
  for await (const event of region.operator.watch()) {
    api.watch.reply.parse(event)
    if (event.type === 'synced') {
      assert.ok(event.revision >= revision)
      break
    }
  }
  assert.deepEqual([...visited].toSorted(), Object.keys(api).toSorted())
})
