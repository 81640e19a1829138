import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { PlatformError, seededRandom } from '@nubo/base'
import { api, type Route } from '@nubo/contracts'
import {
  ApiError,
  ContractError,
  createClient,
  isApiError,
  OutcomeUnknownError,
  UnreachableError,
  type CallTrace,
  type Client,
} from './index.ts'
import { specialRoutes } from './routes.ts'
import {
  AnsweredItself,
  sampleHost,
  sampleId,
  sampleNetwork,
  sampleOperation,
  sampleSet,
  startContractServer,
  testClock,
  type ContractServer,
  type Handlers,
} from './testing/index.ts'

const closers: (() => unknown)[] = []
after(() => Promise.all(closers.map((close) => close())))

async function startServer(handlers: Handlers): Promise<ContractServer> {
  const server = await startContractServer({ handlers, token: 'secret' })
  closers.push(() => server.close())
  return server
}

async function startRaw(server: Server | ReturnType<typeof createTcpServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => server.close(resolve)))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}` // proof: listens on TCP
}

/** An address where nothing listens: it was ours a moment ago. */
async function refusingAddress(): Promise<string> {
  const server = await startContractServer({ handlers: {} })
  await server.close()
  return server.url
}

/** Takes the request, then cuts the connection. */
function startCutting(): Promise<string> {
  return startRaw(createTcpServer((socket) => socket.once('data', () => socket.destroy())))
}

function clientOf(servers: string[], onCall?: (trace: CallTrace) => void): Client {
  const options = { servers, token: 'secret', clock: testClock(), random: seededRandom(1) }
  return createClient(onCall === undefined ? options : { ...options, onCall })
}

test('the calls without a named method are exactly those whose reply is not one JSON document', () => {
  const special = Object.entries(api as Record<string, Route>)
    .filter(([, route]) => !['json', 'list'].includes(route.form ?? 'json'))
    .map(([name]) => name)
  assert.deepEqual(special.sort(), [...specialRoutes].sort())
})

test('types: what the contract does not have does not compile', () => {
  const wrongCalls = (client: Client): unknown[] => [
    // @ts-expect-error the id is missing
    () => client.hostCordon(),
    // @ts-expect-error a limit is a number
    () => client.setList({ query: { limit: 'a' } }),
    // @ts-expect-error no such query field
    () => client.setList({ query: { colour: 1 } }),
    // @ts-expect-error the body is missing
    () => client.networkCreate({ query: {} }),
    // @ts-expect-error this call has no body
    () => client.hostCordon({ params: { id: 'x' }, body: {} }),
  ]
  assert.equal(typeof wrongCalls, 'function')
})

test('a call carries params, query, body and token, and gives the checked reply', async () => {
  const server = await startServer({
    setCreate: ({ body, query }) => {
      assert.equal(query['project'], 'demo')
      // Defaults are filled in by the schema on the server's side.
      assert.equal((body as { memoryBytes: number }).memoryBytes, 128 * 2 ** 20)
      return sampleOperation
    },
    setShow: ({ params }) => ({ ...sampleSet, name: String(params['id']) }),
    setList: () => ({ items: [sampleSet], revision: 7, cursor: null }),
  })
  const client = clientOf([server.url])
  const operation = await client.setCreate({
    query: { project: 'demo' },
    body: { name: 'web', network: 'shop', containers: [{ name: 'web', image: 'busybox' }] },
  })
  assert.equal(operation.kind, 'set.create')
  assert.equal((await client.setShow({ params: { id: 'web-2' } })).name, 'web-2')
  assert.equal((await client.call('setList', { query: { limit: 5 } })).revision, 7)
  assert.deepEqual(
    server.received.map(({ path }) => path),
    ['/v1/sets?project=demo', '/v1/sets/web-2', '/v1/sets?limit=5'],
  )
})

test('a refusal becomes an ApiError with everything that the server said', async () => {
  const server = await startServer({
    networkCreate: () => {
      throw new PlatformError('NAME_TAKEN', { field: 'name', next: 'choose another name' })
    },
    whoAmI: ({ response }) => {
      response.writeHead(418, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ code: 'TEAPOT', message: 'I am one.', later: 'field' }))
      throw new AnsweredItself()
    },
  })
  const client = clientOf([server.url])
  await assert.rejects(
    client.networkCreate({ body: { name: 'shop', cidr: '10.0.0.0/16' } }),
    (error) =>
      isApiError(error, 'NAME_TAKEN') &&
      error.status === 409 &&
      error.requestId === 'request-1' &&
      error.details['field'] === 'name',
  )
  await assert.rejects(
    client.whoAmI(),
    (error) => error instanceof ApiError && error.code === 'TEAPOT' && error.status === 418,
  )
})

test('a name that is none is refused before it becomes a path', async () => {
  const server = await startServer({ setShow: () => sampleSet })
  const client = clientOf([server.url])
  for (const id of ['', '.', '..', 'a/b', '../hosts', 'a?b', 'A', 'x'.repeat(64), 'a%2fb']) {
    await assert.rejects(
      client.setShow({ params: { id } }),
      (error) => isApiError(error, 'INVALID_INPUT') && error.details['field'] === 'id',
      id,
    )
  }
  assert.equal(server.received.length, 0)
})

test('a refused connection moves any call on, and the good server is remembered', async () => {
  const [dead, server] = [
    await refusingAddress(),
    await startServer({
      networkCreate: () => sampleNetwork,
    }),
  ]
  const traces: CallTrace[] = []
  const client = clientOf([dead, server.url], (trace) => traces.push(trace))
  const body = { name: 'shop', cidr: '10.0.0.0/16' }
  await client.networkCreate({ body })
  await client.networkCreate({ body })
  assert.deepEqual(
    traces.map(({ server: asked, outcome }) => [asked, typeof outcome]),
    [
      [dead, 'string'],
      [server.url, 'number'],
      [server.url, 'number'],
    ],
  )
})

test('a read moves on when a server breaks off; a change does not, and says so', async () => {
  const server = await startServer({
    hostList: () => ({ items: [sampleHost], revision: 1, cursor: null }),
    setRemove: () => sampleOperation,
  })
  const cutting = await startCutting()
  const hosts = await clientOf([cutting, server.url]).hostList()
  assert.equal(hosts.items.length, 1)
  await assert.rejects(
    clientOf([cutting, server.url]).setRemove({ params: { id: 'web' } }),
    (error) =>
      error instanceof OutcomeUnknownError &&
      error.server === cutting &&
      /may have been carried out/.test(error.message),
  )
  assert.equal(server.received.filter(({ name }) => name === 'setRemove').length, 0)
})

test('a reply that breaks off in the middle is no answer', async () => {
  const half = await startRaw(
    createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
      response.write('{"items":')
      setTimeout(() => response.destroy(), 20)
    }),
  )
  const whole = await startServer({ hostList: () => ({ items: [], revision: 1, cursor: null }) })
  assert.equal((await clientOf([half, whole.url]).hostList()).revision, 1)
  await assert.rejects(
    clientOf([half, whole.url]).hostCordon({ params: { id: 'host-1' } }),
    OutcomeUnknownError,
  )
})

test('a server that never answers is left after the deadline', async () => {
  const mute = await startRaw(createTcpServer((socket) => closers.push(() => socket.destroy())))
  const whole = await startServer({ hostList: () => ({ items: [], revision: 1, cursor: null }) })
  const client = clientOf([mute, whole.url])
  assert.equal((await client.hostList({}, { timeoutMs: 50 })).revision, 1)
  await assert.rejects(
    clientOf([mute]).hostCordon({ params: { id: 'host-1' } }, { timeoutMs: 50 }),
    (error) => error instanceof OutcomeUnknownError && /no answer in 50 ms/.test(error.message),
  )
  const gone = new AbortController()
  setTimeout(() => gone.abort(new Error('enough')), 20)
  await assert.rejects(clientOf([mute]).hostList({}, { signal: gone.signal }), /enough/)
})

test('when no server answers, the error names each address', async () => {
  const dead = [await refusingAddress(), await refusingAddress()]
  await assert.rejects(
    clientOf(dead).whoAmI(),
    (error) =>
      error instanceof UnreachableError &&
      error.attempts.length === 2 &&
      dead.every((server) => error.message.includes(server)) &&
      /ECONNREFUSED/.test(error.message),
  )
})

test('something that is not Nubo, and a reply of another shape, are contract errors', async () => {
  const other = await startRaw(
    createServer((request, response) => {
      response.writeHead(request.url === '/v1/whoami' ? 502 : 200)
      response.end('<html>nginx</html>')
    }),
  )
  await assert.rejects(clientOf([other]).whoAmI(), ContractError)
  await assert.rejects(clientOf([other]).hostList(), ContractError)
  const redirecting = await startRaw(
    createServer((_, response) => {
      response.writeHead(302, { location: other })
      response.end()
    }),
  )
  await assert.rejects(clientOf([redirecting]).hostList(), UnreachableError)
})

test('listAll reads every page', async () => {
  const server = await startServer({
    setList: ({ query }) => {
      const page = Number(query['cursor'] ?? 0)
      const item = { ...sampleSet, id: sampleId(page), name: `web-${page}` }
      return { items: [item], revision: 1, cursor: page < 3 ? String(page + 1) : null }
    },
  })
  const sets = await clientOf([server.url]).listAll('setList', { state: 'running' })
  assert.deepEqual(
    sets.map(({ name }) => name),
    ['web-0', 'web-1', 'web-2', 'web-3'],
  )
  assert.equal(server.received.at(-1)?.path, '/v1/sets?state=running&cursor=3')
})

test('malformed server addresses are refused at once', () => {
  for (const server of ['', '127.0.0.1:7480', 'ftp://x', 'http://']) {
    assert.throws(() => clientOf([server]), TypeError, server)
  }
  assert.throws(() => clientOf([]), TypeError)
})
