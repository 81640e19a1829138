// Proves the table of RFC 2131, 4.3, for a server with one fixed address per port: what each state of a client gets, what gets
// nothing and why, and where a reply goes.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { addressReply } from './address-reply.ts'
import { answer, type SilentReason } from './answer.ts'
import { LEASE_FOREVER_SECONDS, type Binding } from './binding.ts'
import { encodeMessage, type DhcpMessage, type EncodeLimits } from './message.ts'
import type { DhcpOptions } from './options.ts'
import { binding, requestWith } from './testing/requests.ts'

interface Reply {
  readonly reply: DhcpMessage
  readonly limits: EncodeLimits
}

function replied(request: DhcpMessage, to: Binding = binding): Reply {
  const found = answer(request, to)
  assert.ok(found.kind === 'reply', JSON.stringify(found))
  encodeMessage(found.reply, found.limits)
  return found
}

function isSilent(reason: SilentReason, request: DhcpMessage): void {
  assert.deepEqual(answer(request, binding), { kind: 'silent', reason })
}

const discover = requestWith({ messageType: 'discover' })
const ours = { messageType: 'request', serverId: '10.9.0.1' } as const
const unicast = {
  destinationMac: 'fa:16:3e:00:00:01',
  destinationAddress: '10.9.0.7',
  sourcePort: 67,
  destinationPort: 68,
}
const toAll = {
  ...unicast,
  destinationMac: 'ff:ff:ff:ff:ff:ff',
  destinationAddress: '255.255.255.255',
}

function assertAck({ reply }: Reply): void {
  assert.equal(reply.options.messageType, 'ack')
  assert.equal(reply.yourAddress, '10.9.0.7')
  assert.equal(reply.options.leaseSeconds, 3_600)
  assert.equal(reply.options.serverId, '10.9.0.1')
}

/** RFC 2131, table 3: a NAK has nothing but its reason and who says so. */
function assertNak({ reply }: Reply, messageText = 'wrong address'): void {
  assert.equal(reply.yourAddress, '0.0.0.0')
  assert.equal(reply.clientAddress, '0.0.0.0')
  assert.deepEqual(reply.options, { messageType: 'nak', messageText, serverId: '10.9.0.1' })
  assert.deepEqual(addressReply(reply), toAll)
}

describe('DISCOVER', () => {
  test('is offered the bound address, whatever it asks for', () => {
    const wish = { requestedAddress: '10.9.0.99', leaseSeconds: 60 }
    const { reply } = replied(requestWith({ messageType: 'discover', ...wish }))
    assert.equal(reply.operation, 'reply')
    assert.equal(reply.transactionId, discover.transactionId)
    assert.equal(reply.elapsedSeconds, 0)
    assert.equal(reply.options.messageType, 'offer')
    assert.equal(reply.yourAddress, '10.9.0.7')
    assert.equal(reply.options.leaseSeconds, 3_600)
    assert.equal(reply.options.renewalSeconds, 1_800)
    assert.equal(reply.options.rebindingSeconds, 3_150)
    assert.deepEqual(addressReply(reply), unicast)
  })

  test('is answered to everybody if it asks for that', () => {
    const { reply } = replied({ ...discover, broadcast: true })
    assert.equal(reply.broadcast, true)
    assert.deepEqual(addressReply(reply), toAll)
  })

  test('is not believed about an address that it has', () => {
    const { reply } = replied({ ...discover, clientAddress: '10.9.0.99' })
    assert.equal(reply.clientAddress, '0.0.0.0')
    assert.deepEqual(addressReply(reply), unicast)
  })

  test('with rapid commit is the only exchange', () => {
    const rapid = replied(requestWith({ messageType: 'discover', rapidCommit: true }))
    assertAck(rapid)
    assert.equal(rapid.reply.options.rapidCommit, true)
    assert.equal(replied(discover).reply.options.rapidCommit, undefined)
  })
})

describe('REQUEST', () => {
  test('SELECTING: our offer is confirmed, another address refused, another server left alone', () => {
    const selecting = { ...ours, requestedAddress: '10.9.0.7' }
    const found = replied(requestWith(selecting))
    assertAck(found)
    assert.equal(found.reply.clientAddress, '0.0.0.0')
    assert.deepEqual(addressReply(found.reply), unicast)
    assertNak(replied(requestWith({ ...ours, requestedAddress: '10.9.0.8' })))
    isSilent('otherServer', requestWith({ ...selecting, serverId: '10.9.0.2' }))
  })

  test('INIT-REBOOT: the bound address is confirmed; one of the subnet or of elsewhere is refused', () => {
    const reboot = (requestedAddress: string): DhcpMessage =>
      requestWith({ messageType: 'request', requestedAddress })
    assertAck(replied(reboot('10.9.0.7')))
    assertNak(replied(reboot('10.9.0.8')))
    assertNak(replied(reboot('192.168.0.7')))
  })

  test('RENEWING and REBINDING: the address in use is confirmed at itself, another one is refused', () => {
    const using = (clientAddress: string, broadcast = false): DhcpMessage =>
      requestWith({ messageType: 'request' }, { clientAddress, broadcast })
    for (const broadcast of [false, true]) {
      const found = replied(using('10.9.0.7', broadcast))
      assertAck(found)
      assert.equal(found.reply.clientAddress, '10.9.0.7')
      assert.deepEqual(addressReply(found.reply), unicast)
      assertNak(replied(using('10.9.0.8', broadcast)))
    }
  })

  test('a refusal goes to everybody, even if it names an address', () => {
    const nak = requestWith({ messageType: 'nak' }, { clientAddress: '10.9.0.7' })
    assert.deepEqual(addressReply(nak), toAll)
    assert.deepEqual(
      addressReply({ ...nak, yourAddress: '10.9.0.7', clientAddress: '0.0.0.0' }),
      toAll,
    )
  })

  test('without any address is refused', () => {
    assertNak(replied(requestWith({ messageType: 'request' })), 'no address was asked for')
  })

  test('a foreign ciaddr beside the right address is not repeated', () => {
    const { reply } = replied(
      requestWith({ ...ours, requestedAddress: '10.9.0.7' }, { clientAddress: '8.8.8.8' }),
    )
    assert.equal(reply.clientAddress, '0.0.0.0')
    assert.deepEqual(addressReply(reply), unicast)
  })
})

describe('INFORM', () => {
  const inform = (clientAddress: string): DhcpMessage =>
    requestWith({ messageType: 'inform' }, { clientAddress })

  test('gets parameters, but neither address nor times', () => {
    const { reply } = replied(inform('10.9.0.7'))
    assert.equal(reply.options.messageType, 'ack')
    assert.equal(reply.yourAddress, '0.0.0.0')
    assert.deepEqual(reply.options.dnsServers, ['10.9.0.1', '10.9.0.2'])
    for (const name of ['leaseSeconds', 'renewalSeconds', 'rebindingSeconds'] as const)
      assert.equal(reply.options[name], undefined)
    assert.deepEqual(addressReply(reply), unicast)
  })

  test('is answered at another address of the subnet, to everybody without one, and not elsewhere', () => {
    assert.equal(addressReply(replied(inform('10.9.0.99')).reply).destinationAddress, '10.9.0.99')
    assert.deepEqual(addressReply(replied(inform('0.0.0.0')).reply), toAll)
    isSilent('otherAddress', inform('10.9.1.7'))
    isSilent('otherAddress', inform('255.255.255.255'))
  })
})

describe('nothing is said', () => {
  test('to RELEASE and DECLINE, with a reason that tells them apart', () => {
    const release = requestWith({ messageType: 'release' }, { clientAddress: '10.9.0.7' })
    isSilent('released', release)
    isSilent('otherAddress', { ...release, clientAddress: '10.9.0.8' })
    isSilent('otherServer', { ...release, options: { ...release.options, serverId: '10.9.0.2' } })
    const decline = { messageType: 'decline', requestedAddress: '10.9.0.7' } as const
    isSilent('conflict', requestWith(decline))
    isSilent('conflict', requestWith({ ...decline, serverId: '10.9.0.1' }))
    isSilent('otherAddress', requestWith({ ...decline, requestedAddress: '10.9.0.8' }))
    isSilent('otherAddress', requestWith({ messageType: 'decline' }))
    isSilent('otherServer', requestWith({ ...decline, serverId: '10.9.0.2' }))
  })

  test('to what a relay has passed on', () => {
    isSilent('relayed', { ...discover, relayAddress: '10.9.0.1' })
    const relayAgentInformation = new Uint8Array(0)
    isSilent('relayed', requestWith({ messageType: 'discover', relayAgentInformation }))
  })

  test('to another client, to BOOTP, to what servers send, to an endless client id', () => {
    isSilent('otherMac', { ...discover, clientMac: 'fa:16:3e:00:00:02' })
    isSilent('bootp', requestWith({}))
    isSilent('notARequest', { ...discover, operation: 'reply' })
    for (const messageType of ['offer', 'ack', 'nak'] as const)
      isSilent('notForServers', requestWith({ messageType }))
    const clientId = new Uint8Array(136)
    isSilent('clientIdTooLong', requestWith({ messageType: 'discover', clientId }))
  })
})

describe('options of a reply', () => {
  const offered = (options: DhcpOptions, to: Binding = binding): DhcpOptions =>
    replied(requestWith({ messageType: 'discover', ...options }), to).reply.options
  const reach = {
    messageType: 'offer',
    serverId: '10.9.0.1',
    leaseSeconds: 3_600,
    renewalSeconds: 1_800,
    rebindingSeconds: 3_150,
    subnetMask: '255.255.255.0',
    broadcastAddress: '10.9.0.255',
    routers: ['10.9.0.1'],
    dnsServers: ['10.9.0.1', '10.9.0.2'],
    mtuBytes: 1_450,
    classlessRoutes: [
      { destination: '169.254.169.254', prefixLength: 32, router: '10.9.0.1' },
      { destination: '0.0.0.0', prefixLength: 0, router: '10.9.0.1' },
    ],
  }

  test('what a client must know goes to each, the rest to one that asks or has no list', () => {
    assert.deepEqual(offered({ parameterRequestList: [1] }), reach)
    const { hostName, domainName, domainSearch, ntpServers } = binding
    const rest = { hostName, domainName, domainSearch, ntpServers }
    assert.deepEqual(offered({}), { ...reach, ...rest })
    assert.deepEqual(offered({ parameterRequestList: [12, 15, 119, 42] }), { ...reach, ...rest })
  })

  test('routes go out under the number of Microsoft to who asks for it', () => {
    const { classlessRoutes, classlessRoutesMicrosoft } = offered({ parameterRequestList: [249] })
    assert.deepEqual(classlessRoutesMicrosoft, reach.classlessRoutes)
    assert.deepEqual(classlessRoutes, reach.classlessRoutes)
  })

  test('a default route among the routes stays the only one; without routes there is no option', () => {
    const route = { destination: '0.0.0.0', prefixLength: 0, router: '10.9.0.254' }
    assert.deepEqual(offered({}, { ...binding, routes: [route] }).classlessRoutes, [route])
    assert.equal(offered({}, { ...binding, routes: [] }).classlessRoutes, undefined)
    const noRouter = offered({}, { ...binding, routers: [] })
    assert.equal(noRouter.routers, undefined)
    assert.deepEqual(noRouter.classlessRoutes, reach.classlessRoutes.slice(0, 1))
  })

  test('a client id is repeated, in a NAK too', () => {
    const clientId = Uint8Array.of(255, 1, 2)
    assert.deepEqual(offered({ clientId }).clientId, clientId)
    const nak = replied(requestWith({ ...ours, requestedAddress: '1.2.3.4', clientId })).reply
    assert.deepEqual(nak.options.clientId, clientId)
  })

  test('a lease for ever has no other times', () => {
    const found = offered({}, { ...binding, leaseSeconds: LEASE_FOREVER_SECONDS })
    assert.equal(found.leaseSeconds, 0xffff_ffff)
    assert.equal('renewalSeconds' in found || 'rebindingSeconds' in found, false)
  })

  test('masks and broadcast addresses follow from the prefix, and small subnets have no broadcast', () => {
    const of = (prefixLength: number): (string | undefined)[] => {
      const found = offered({}, { ...binding, prefixLength })
      return [found.subnetMask, found.broadcastAddress]
    }
    assert.deepEqual(of(8), ['255.0.0.0', '10.255.255.255'])
    assert.deepEqual(of(22), ['255.255.252.0', '10.9.3.255'])
    assert.deepEqual(of(30), ['255.255.255.252', '10.9.0.7'])
    assert.deepEqual(of(31), ['255.255.255.254', undefined])
    assert.deepEqual(of(32), ['255.255.255.255', undefined])
  })

  test('who boots over the network gets server and file, as options if it asks', () => {
    const boot = { nextServer: '10.9.0.5', fileName: 'pxe.0' }
    const { reply } = replied(discover, { ...binding, boot })
    assert.equal(reply.nextServerAddress, '10.9.0.5')
    assert.equal(reply.bootFile, 'pxe.0')
    assert.equal(reply.options.bootFileName, undefined)
    const parameterRequestList = [66, 67]
    const asked = offered({ parameterRequestList }, { ...binding, boot })
    assert.equal(asked.tftpServerName, '10.9.0.5')
    assert.equal(asked.bootFileName, 'pxe.0')
    const nak = replied(requestWith({ messageType: 'request' }), { ...binding, boot }).reply
    assert.deepEqual([nak.nextServerAddress, nak.bootFile], ['0.0.0.0', ''])
  })
})

describe('the size of a reply', () => {
  const sized = (maxMessageBytes: number | undefined, to: Binding = binding): number => {
    const size = maxMessageBytes === undefined ? {} : { maxMessageBytes }
    return replied(requestWith({ messageType: 'discover', ...size }), to).limits.bytesMax
  }

  test('is what the client takes without headers: 576 at least, one frame at most', () => {
    assert.equal(sized(undefined), 548)
    assert.equal(sized(0), 548)
    assert.equal(sized(1_000), 972)
    assert.equal(sized(65_535), 1_422)
    const { mtuBytes: _, ...plain } = binding
    assert.equal(sized(65_535, plain), 1_472)
  })
})
