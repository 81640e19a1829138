import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { PlatformError, seededRandom } from '@nubo/base'
import { createClient, isApiError, UnreachableError, type Client } from './index.ts'
import {
  endedOperation,
  sampleId,
  sampleImage,
  sampleOperation,
  startContractServer,
  testClock,
  type ContractServer,
  type Handlers,
} from './testing/index.ts'

const servers: ContractServer[] = []
after(() => Promise.all(servers.map((server) => server.close())))

async function startServer(handlers: Handlers): Promise<ContractServer> {
  const server = await startContractServer({ handlers })
  servers.push(server)
  return server
}

function clientOf(...urls: string[]): Client {
  return createClient({ servers: urls, token: 't', clock: testClock(), random: seededRandom(1) })
}

test('a wait tells each change once and gives the ended operation, also when it failed', async () => {
  const steps = ['placing', 'placing', 'starting']
  const server = await startServer({
    operationShow: ({ query }) => {
      const progress = steps.shift()
      if (progress === undefined)
        return endedOperation('failed', { code: 'NOT_PLACED', text: 'full' })
      assert.equal(query['project'], 'demo')
      return { ...sampleOperation, progress, updatedAtMs: progress === 'placing' ? 1 : 2 }
    },
  })
  const told: string[] = []
  const ended = await clientOf(server.url).waitOperation(sampleId(9), {
    project: 'demo',
    onProgress: ({ progress }) => told.push(progress),
  })
  assert.equal(ended.reason?.code, 'NOT_PLACED')
  assert.deepEqual(told, ['placing', 'starting', 'failed'])
  assert.match(server.received[0]?.path ?? '', /waitMs=500/)
})

test('a wait goes on at another server when the first dies, and through a short outage', async () => {
  let asked = 0
  const second = await startServer({
    operationShow: () => {
      if (asked++ === 0) throw new PlatformError('DATABASE_UNAVAILABLE')
      return endedOperation('done')
    },
  })
  const first = await startServer({
    operationShow: () => {
      if (first.received.length === 1) return sampleOperation
      setTimeout(() => void first.close(), 20)
      return new Promise(() => undefined)
    },
  })
  const outages: string[] = []
  const ended = await clientOf(first.url, second.url).waitOperation(sampleId(9), {
    onOutage: ({ message }) => outages.push(message),
  })
  assert.equal(ended.state, 'done')
  assert.equal(outages.length, 1)
})

test('a wait ends when the outage lasts or the operation is not ours', async () => {
  const server = await startServer({
    operationShow: () => {
      throw new PlatformError('NOT_FOUND')
    },
  })
  await assert.rejects(clientOf(server.url).waitOperation(sampleId(9)), (error) =>
    isApiError(error, 'NOT_FOUND'),
  )
  await server.close()
  await assert.rejects(
    clientOf(server.url).waitOperation(sampleId(9), { outageMaxMs: 300 }),
    UnreachableError,
  )
})

async function* pieces(count: number, bytes = 65_536): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield new Uint8Array(bytes).fill(i)
}

test('an upload streams, tells its progress, and moves on from a refused connection', async () => {
  const gone = await startServer({})
  await gone.close()
  let receivedBytes = 0
  const server = await startServer({
    imageImport: async ({ bytes, query }) => {
      assert.deepEqual(query['command'], ['sh', '-c', 'a b'])
      for await (const chunk of bytes) receivedBytes += chunk.byteLength
      return sampleImage
    },
  })
  const progress: number[] = []
  const image = await clientOf(gone.url, server.url).imageImport(
    { query: { name: 'busybox', command: ['sh', '-c', 'a b'] }, open: () => pieces(20) },
    { onProgress: (sentBytes) => progress.push(sentBytes) },
  )
  assert.equal(image.name, 'busybox')
  assert.equal(receivedBytes, 20 * 65_536)
  assert.equal(progress.at(-1), 20 * 65_536)
})

test('an upload that is refused early, or whose file cannot be read, says why', async () => {
  const server = await startServer({
    imageImport: () => {
      throw new PlatformError('NAME_TAKEN')
    },
  })
  const client = clientOf(server.url)
  await assert.rejects(
    client.imageImport({ query: { name: 'busybox' }, open: () => pieces(200) }),
    (error) => isApiError(error, 'NAME_TAKEN'),
  )
  await assert.rejects(
    client.imageImport({
      query: { name: 'busybox' },
      open: async function* () {
        yield new Uint8Array(5)
        throw new Error('disk on fire')
      },
    }),
    /disk on fire/,
  )
})
