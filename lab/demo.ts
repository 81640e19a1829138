/**
 * Shows that the cloud works: a network with two subnets, a web set and a client set on different hosts, and the
 * answer that the client really gets. Idempotent: what is there already is used.
 */
import { createHash } from 'node:crypto'
import { PlatformError } from '@nubo/base'
import { isApiError, type Client } from '@nubo/client'
import type { Operation, SetView } from '@nubo/contracts'
import { busyboxRootTar } from './busybox-image.ts'
import { doStep, type Tell } from './steps.ts'

const NETWORK = { name: 'shop', cidr: '10.20.0.0/16' }
const WEB_SUBNET = { name: 'shop-web', cidr: '10.20.1.0/24' }
const CLIENT_SUBNET = { name: 'shop-clients', cidr: '10.20.2.0/24' }
const IMAGE = 'busybox'
const WEB = 'web'
const CLIENT = 'client'
const STEP_TIMEOUT_MS = 60_000
const ANSWER_BYTES_MAX = 64 * 1024

export interface DemoResult {
  network: string
  sets: SetView[]
  /** What was asked from inside the client set, and what came back. */
  question: string
  answer: string
}

export async function demonstrate(
  client: Client,
  tell: Tell = () => undefined,
): Promise<DemoResult> {
  await doStep(tell, `network ${NETWORK.name} with two subnets`, async () => {
    const networks = await client.listAll('networkList')
    if (!networks.some(({ name }) => name === NETWORK.name)) {
      await ensure(() => client.networkCreate({ body: NETWORK }))
    }
    const subnets = await client.listAll('subnetList', { network: NETWORK.name })
    for (const subnet of [WEB_SUBNET, CLIENT_SUBNET]) {
      if (subnets.some(({ name }) => name === subnet.name)) continue
      await ensure(() => client.subnetCreate({ body: { network: NETWORK.name, ...subnet } }))
    }
  })
  await doStep(tell, `image ${IMAGE}`, () => importImage(client))
  // One after the other: the second is placed where the first is not.
  await doStep(tell, `set ${WEB}`, () =>
    ensureSet(client, {
      name: WEB,
      subnet: WEB_SUBNET.name,
      command: ['httpd', '-f', '-p', '80', '-h', '/www'],
    }),
  )
  await doStep(tell, `set ${CLIENT}`, () =>
    ensureSet(client, {
      name: CLIENT,
      subnet: CLIENT_SUBNET.name,
      command: ['tail', '-f', '/dev/null'],
    }),
  )
  const web = await client.setShow({ params: { id: WEB } })
  const command = ['fetch', web.address]
  const answer = await doStep(tell, `${CLIENT} asks ${WEB}`, () => execute(client, CLIENT, command))
  const sets = await client.listAll('setList')
  return {
    network: NETWORK.name,
    sets: sets.filter(({ name }) => name === WEB || name === CLIENT),
    question: command.join(' '),
    answer: answer.replaceAll('\r', '').trim(),
  }
}

/** Somebody who made it at the same moment is as good. */
async function ensure(create: () => Promise<unknown>): Promise<void> {
  try {
    await create()
  } catch (error) {
    if (!isApiError(error, 'NAME_TAKEN')) throw error
  }
}

async function importImage(client: Client): Promise<void> {
  const images = await client.listAll('imageList')
  if (images.some(({ name }) => name === IMAGE)) return
  const tar = await busyboxRootTar()
  const digest = `sha256:${createHash('sha256').update(tar).digest('hex')}`
  await ensure(() =>
    client.imageImport({ query: { name: IMAGE, digest, command: ['sh'] }, open: () => once(tar) }),
  )
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function ensureSet(
  client: Client,
  wanted: { name: string; subnet: string; command: string[] },
): Promise<void> {
  const existing = (await client.listAll('setList')).find(({ name }) => name === wanted.name)
  if (existing?.state === 'running') return
  const operation =
    existing === undefined
      ? await client.setCreate({
          body: {
            name: wanted.name,
            network: NETWORK.name,
            subnet: wanted.subnet,
            containers: [
              { name: 'main', image: IMAGE, command: wanted.command, stopTimeoutMs: 1_000 },
            ],
            cpuMillis: 200,
            memoryBytes: 32 * 2 ** 20,
            // Sets with one value of this label are kept apart.
            labels: { group: 'demo' },
          },
        })
      : await client.setStart({ params: { id: wanted.name } })
  const ended = await waitForEnd(client, operation)
  if (ended.state === 'done') return
  throw new PlatformError(
    'SETUP_FAILED',
    { operation: ended.id, reason: ended.reason, next: `nubo set show ${wanted.name}` },
    { message: `Set ${wanted.name} did not start: ${ended.reason?.text ?? ended.progress}` },
  )
}

/** The operation when it has ended, or as it is when the demo's patience is over. */
async function waitForEnd(client: Client, operation: Operation): Promise<Operation> {
  let latest = operation
  try {
    return await client.waitOperation(operation.id, {
      signal: AbortSignal.timeout(STEP_TIMEOUT_MS),
      onProgress: (now) => (latest = now),
    })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError') return latest
    throw error
  }
}

/** Runs a program in a set and returns what it printed. Throws SETUP_FAILED with its last words if it fails. */
async function execute(client: Client, set: string, command: string[]): Promise<string> {
  const signal = AbortSignal.timeout(STEP_TIMEOUT_MS)
  const ticket = await client.setExec({ params: { id: set }, body: { command } })
  const stream = await client.openStream(ticket, { signal })
  const chunks: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] }
  let bytes = 0
  for await (const chunk of stream.output) {
    bytes += chunk.bytes.length
    if (bytes > ANSWER_BYTES_MAX) break
    chunks[chunk.channel].push(Buffer.from(chunk.bytes))
  }
  const end = await stream.ended
  const printed = Buffer.concat(chunks.stdout).toString('utf8')
  if (end.exitCode === 0) return printed
  const words = Buffer.concat(chunks.stderr).toString('utf8').trim()
  const how = end.error?.message ?? `exit code ${end.exitCode ?? 'unknown'}`
  throw new PlatformError(
    'SETUP_FAILED',
    { set, command, ...end, next: `nubo set exec ${set} -- sh` },
    {
      message: `${command[0] ?? ''} in ${set} failed: ${[words, how].filter((text) => text !== '').join('; ')}`,
    },
  )
}
