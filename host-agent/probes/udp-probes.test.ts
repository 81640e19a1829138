// Proves over real UDP on the loopback who is answered, what silence is, and what says nothing at all.
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProbeAnswer } from '@nubo/contracts/host'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime/process'
import { testId } from '../testing/wanted.ts'
import { encodeDatagram } from './datagram.ts'
import { SourceLimit } from './source-limit.ts'
import { UdpProbes } from './udp-probes.ts'
import { VirtualClock } from '@nubo/base'

const KEY = '7'.repeat(64)
const lasts: ProbeAnswer = { bootId: 'boot', lease: 'lasts', elsewhereRunning: 3 }

async function freePort(address: string): Promise<number> {
  const socket = createSocket('udp4')
  socket.bind(0, address)
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}

/** Hosts on addresses of the loopback of their own. */
async function openHost(t: TestContext, number: number, key: string | null = KEY) {
  const address = `127.0.9.${number}`
  const probes = new UdpProbes({
    bind: { address, port: await freePort(address) },
    hostId: testId('host', number),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  })
  t.after(() => probes.close())
  if (key !== null) probes.useKey(key)
  probes.start(() => lasts)
  while (!probes.isBound) await sleep(5)
  return { probes, target: { hostId: testId('host', number), address: probes.address } }
}

test('a neighbour answers with what it knows of itself', async (t) => {
  const [first, second] = [await openHost(t, 1), await openHost(t, 2)]
  const { hostId } = second.target
  assert.deepEqual(await first.probes.probe([second.target], 10_000), [{ hostId, answer: lasts }])
})

test('silence: nobody there, another host there, or one of another region', async (t) => {
  const prober = await openHost(t, 1)
  const other = await openHost(t, 2)
  const foreign = await openHost(t, 3, '8'.repeat(64))
  const gone = await openHost(t, 4)
  gone.probes.close()
  const targets = [
    { hostId: testId('host', 9), address: other.target.address },
    foreign.target,
    gone.target,
  ]
  const results = await prober.probes.probe(targets, 300)
  assert.deepEqual(
    results,
    targets.map(({ hostId }) => ({ hostId, answer: null })),
  )
  assert.equal(other.probes.dropped, 3)
})

test('no key, no socket, or no address: nothing is said of the target', async (t) => {
  const [keyless, second] = [await openHost(t, 1, null), await openHost(t, 2)]
  assert.deepEqual(await keyless.probes.probe([second.target], 300), [])
  for (const address of ['', 'x:1', '127.0.9.2', '127.0.9.2:0', '127.0.9.2:70000', '[::1]:1'])
    assert.deepEqual(await second.probes.probe([{ ...second.target, address }], 300), [])
  second.probes.close()
  assert.deepEqual(await second.probes.probe([second.target], 300), [])
})

test('nobody without the key gets an answer, nor one with it too many', async (t) => {
  const { probes, target } = await openHost(t, 1)
  const stranger = createSocket('udp4')
  t.after(() => stranger.close())
  let answers = 0
  stranger.on('message', () => (answers += 1))
  const [address = '', port] = target.address.split(':')
  const send = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve) => stranger.send(bytes, Number(port), address, () => resolve()))
  const ask = { kind: 'ask', nonce: systemRandom.bytes(16), hostId: target.hostId } as const
  await send(encodeDatagram(ask, Buffer.alloc(32)))
  await send(Buffer.alloc(0))
  await send(Buffer.alloc(9_000))
  while (probes.dropped < 3) await sleep(5)
  assert.equal(answers, 0)
  await send(encodeDatagram(ask, Buffer.from(KEY, 'hex')))
  while (answers < 1) await sleep(5)
})

test('one source, and the number of sources, are bounded in each second', async () => {
  const clock = new VirtualClock()
  const limit = new SourceLimit(clock)
  const admitted = Array.from({ length: 100 }, () => limit.admits('a')).filter(Boolean).length
  assert.equal(admitted, 32)
  assert.ok(limit.admits('b'))
  const sources = Array.from({ length: 5_000 }, (_, at) => limit.admits(String(at))).filter(Boolean)
  assert.equal(sources.length, 1_024 - 2)
  await clock.advance(1_000)
  assert.ok(limit.admits('a'))
})
