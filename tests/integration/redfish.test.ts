// Proves that our Redfish client and the lab's Redfish service understand each other, and what a controller is believed.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { HostId } from '@nubo/base'
import { createRedfishPower, openCertificateAuthority } from '@nubo/control-plane'
import { openRedfish, type PowerState } from '@nubo/lab'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'

const hostId = '01900000-0000-7000-8000-000000000001' as HostId // proof: a UUID; nothing else is asked of it

function memorySecrets() {
  const kept = new Map<string, string>()
  return {
    kept,
    get: async (name: string) => kept.get(name),
    put: async (name: string, text: string) => void kept.set(name, text),
    remove: async (name: string) => void kept.delete(name),
  }
}

async function openLab(context: TestContext) {
  const states = new Map<string, PowerState>([['h1', 'On']])
  const orders: string[] = []
  const service = await openRedfish({
    user: 'lab',
    password: 'right',
    machines: {
      names: () => [...states.keys()],
      powerState: (name) => states.get(name),
      powerOff: async (name) => {
        orders.push(name)
        states.set(name, 'Off')
      },
    },
  })
  context.after(() => service.close())
  const power = createRedfishPower({ secrets: memorySecrets(), log: silentLog })
  await power.keepPassword(hostId, 'right')
  const controller = (name: string) => ({
    hostId,
    power: { redfish: service.addressOf(name), user: 'lab', certificateSha256: null },
  })
  return { service, power, states, orders, controller }
}

test('reads, switches off, and takes an order to a machine that is off already for what it is: nothing', async (context) => {
  const { power, states, orders, controller } = await openLab(context)
  assert.deepEqual(await power.read(controller('h1')), { state: 'on' })
  await power.off(controller('h1'))
  assert.deepEqual(await power.read(controller('h1')), { state: 'off' })
  await power.off(controller('h1'))
  assert.deepEqual(orders, ['h1'], 'the second was answered 409')
  states.set('h1', 'PoweringOff')
  assert.deepEqual(await power.read(controller('h1')), { state: 'on' }, 'not off before it is')
})

test('a wrong password, an unknown machine and a controller that is gone are no power state', async (context) => {
  const { service, power, controller } = await openLab(context)
  const problem = async (name = 'h1'): Promise<string> => {
    const reading = await power.read(controller(name))
    return reading.state === 'unknown' ? reading.problem : reading.state
  }
  assert.match(await problem('h2'), /HTTP 404/)
  await power.keepPassword(hostId, 'wrong')
  assert.match(await problem(), /refuses the user or the password/)
  await power.off(controller('h1'))
  await power.keepPassword(hostId, null)
  assert.match(await problem(), /password is not known/)
  await power.keepPassword(hostId, 'right')
  assert.equal(await problem(), 'on')
  await service.close()
  assert.match(await problem(), /ECONNREFUSED/)
})

async function serve(context: TestContext, answer: RequestListener, tls?: object) {
  const server =
    tls === undefined ? createHttpServer(answer) : createHttpsServer({ ...tls }, answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  // proof: it listens on TCP
  return (server.address() as AddressInfo).port
}

test('over TLS nothing is said to a certificate that is not the one known', async (context) => {
  const authority = await openCertificateAuthority({
    secrets: { get: async () => undefined, putIfAbsent: (_name, make) => make() },
    clock: systemClock,
    random: systemRandom,
    region: 'test',
  })
  const { certificatePem, keyPem } = await authority.issueServer({
    commonName: 'controller',
    addresses: ['127.0.0.1'],
    validityMs: 60_000,
  })
  let requests = 0
  const port = await serve(
    context,
    (_request, response) => {
      requests += 1
      response.end('{"PowerState":"Off"}')
    },
    { cert: certificatePem, key: keyPem },
  )
  const power = createRedfishPower({ secrets: memorySecrets(), log: silentLog })
  await power.keepPassword(hostId, 'secret')
  const redfish = `https://127.0.0.1:${port}/redfish/v1/Systems/1`
  const read = (certificateSha256: string) =>
    power.read({ hostId, power: { redfish, user: 'u', certificateSha256 } })
  assert.deepEqual(await read('0'.repeat(64)), {
    state: 'unknown',
    problem: 'its certificate has another fingerprint than the one given',
  })
  assert.equal(requests, 0)
  const known = new X509Certificate(certificatePem).fingerprint256
  assert.deepEqual(await read(known.replaceAll(':', '').toLowerCase()), { state: 'off' })
})

test('answers that make no sense, or none, are no power state', async (context) => {
  const answers = ['', '{', '{"PowerState":7}', '{"PowerState":"Sleepy"}', 'x'.repeat(300_000)]
  let at = 0
  const port = await serve(context, (_request, response) => {
    const text = answers[at++]
    // After the last one it takes questions and says nothing.
    if (text !== undefined) response.end(text)
  })
  const power = createRedfishPower({ secrets: memorySecrets(), log: silentLog })
  await power.keepPassword(hostId, 'secret')
  const redfish = `http://127.0.0.1:${port}/redfish/v1/Systems/1`
  for (let n = 0; n <= answers.length; n++) {
    const reading = await power.read({
      hostId,
      power: { redfish, user: 'u', certificateSha256: null },
    })
    assert.equal(reading.state, 'unknown')
  }
})
