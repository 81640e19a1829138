// Proves that messages are read and written, byte for byte, as the RFCs lay them out and as a client of the field writes them.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { answer } from './answer.ts'
import type { Binding } from './binding.ts'
import { classlessRoutesBytes, readClasslessRoutes } from './classless-routes.ts'
import { domainNamesBytes, readDomainNames } from './domain-names.ts'
import { decodeMessage, encodeMessage } from './message.ts'
import { bytesOf, discoverOfUdhcpc, messageHex } from './testing/messages.ts'
import { binding } from './testing/requests.ts'

function answered(request: Uint8Array, to: Binding = binding): Uint8Array {
  const found = answer(decodeMessage(request), to)
  assert.ok(found.kind === 'reply')
  return encodeMessage(found.reply, found.limits)
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.max(bytes.length, 300))
  whole.set(bytes)
  return whole
}

describe('a DISCOVER of udhcpc', () => {
  test('is read', () => {
    assert.deepEqual(decodeMessage(discoverOfUdhcpc), {
      operation: 'request',
      hops: 0,
      transactionId: 0x3877_cb53,
      elapsedSeconds: 0,
      broadcast: false,
      clientAddress: '0.0.0.0',
      yourAddress: '0.0.0.0',
      nextServerAddress: '0.0.0.0',
      relayAddress: '0.0.0.0',
      clientMac: 'fa:16:3e:00:00:01',
      serverName: '',
      bootFile: '',
      options: {
        messageType: 'discover',
        maxMessageBytes: 576,
        parameterRequestList: [1, 3, 6, 12, 15, 26, 28, 42, 121],
        hostName: 'guest-1',
        vendorClass: 'udhcp 1.35.0',
        clientId: Uint8Array.of(1, 0xfa, 0x16, 0x3e, 0, 0, 1),
      },
    })
  })

  test('gets this OFFER', () => {
    const expected = messageHex({
      head: '02010600 3877cb53 0000 0000',
      addresses: '00000000 0a090007 00000000 00000000',
      mac: 'fa163e000001',
      options: [
        '350102', // message type: offer
        '36040a090001', // server
        '330400000e10', // lease: 3600
        '3a0400000708', // renewal: 1800
        '3b0400000c4e', // rebinding: 3150
        '0104ffffff00', // mask
        '03040a090001', // router
        '06080a0900010a090002', // DNS
        '0c057765622d31', // host name: web-1
        '0f0d73686f702e696e7465726e616c', // domain: shop.internal
        '1a0205aa', // MTU: 1450
        '1c040a0900ff', // broadcast
        '2a040a090009', // NTP
        '3d0701fa163e000001', // client id, repeated
        '790e 20a9fea9fe0a090001 000a090001', // routes: metadata, default
        'ff',
      ].join(''),
    })
    assert.deepEqual(answered(discoverOfUdhcpc), expected)
  })

  test('gets 300 bytes if there is little to say', () => {
    const { mac, address, prefixLength, serverId, leaseSeconds } = binding
    const bare = { mac, address, prefixLength, serverId, leaseSeconds, routers: [], dnsServers: [] }
    const bytes = answered(discoverOfUdhcpc, bare)
    assert.equal(bytes.length, 300)
    const last = bytes.indexOf(0xff, 280)
    assert.ok(last > 0 && bytes.subarray(last + 1).every((byte) => byte === 0))
  })
})

describe('a REQUEST for a wrong address', () => {
  test('gets this NAK', () => {
    const request = messageHex({
      head: '01010600 00000001 0005 8000',
      addresses: '00000000 00000000 00000000 00000000',
      mac: 'fa163e000001',
      options: '350103 32040a000005 3d03ff0102 ff',
    })
    const expected = messageHex({
      head: '02010600 00000001 0000 8000',
      addresses: '00000000 00000000 00000000 00000000',
      mac: 'fa163e000001',
      options: `350106 36040a090001 380d${Buffer.from('wrong address').toString('hex')} 3d03ff0102 ff`,
    })
    assert.deepEqual(answered(request), padded(expected))
  })
})

describe('options in several places (RFC 2132, 9.3; RFC 3396)', () => {
  const head = '01010600 00000001 0000 0000'
  const addresses = '00000000 00000000 00000000 00000000'
  const mac = 'fa163e000001'

  test('are put together from options, file and server name, in this order', () => {
    const bytes = messageHex({
      head,
      addresses,
      mac,
      serverName: '0c0163 ff',
      file: '0c0162 0f0178 ff',
      options: '340103 350101 0c0161 00 0c0141 ff 0c0177',
    })
    const { options, serverName, bootFile } = decodeMessage(bytes)
    assert.deepEqual(options, { messageType: 'discover', hostName: 'aAbc', domainName: 'x' })
    assert.deepEqual([serverName, bootFile], ['', ''])
  })

  test('only the fields that the overload names hold any', () => {
    const fields = { head, addresses, mac, serverName: '0c0163ff', file: '0c0162ff' }
    const file = decodeMessage(messageHex({ ...fields, options: '340101 350101 ff' }))
    assert.deepEqual([file.options.hostName, file.bootFile], ['b', ''])
    assert.equal(file.serverName, '\f\x01cÿ')
    const name = decodeMessage(messageHex({ ...fields, options: '340102 350101 ff' }))
    assert.deepEqual([name.options.hostName, name.serverName], ['c', ''])
  })

  test('an option beyond 255 bytes is written in pieces', () => {
    const message = decodeMessage(discoverOfUdhcpc)
    const messageText = 'a'.repeat(600)
    const bytes = encodeMessage({ ...message, options: { messageType: 'discover', messageText } })
    const piece = (length: number): string =>
      `38${length.toString(16)}${Buffer.from('a'.repeat(length)).toString('hex')}`
    assert.deepEqual(
      bytes.subarray(240),
      bytesOf(`350101 ${piece(255)} ${piece(255)} ${piece(90)} ff`),
    )
    assert.equal(decodeMessage(bytes).options.messageText, messageText)
  })
})

describe('names to search (RFC 3397, example)', () => {
  const bytes = bytesOf('03656e67 056170706c65 03636f6d 00 096d61726b6574696e67 c004')
  const names = ['eng.apple.com', 'marketing.apple.com']

  test('are read and written with pointers', () => {
    assert.deepEqual(readDomainNames(bytes), names)
    assert.deepEqual(domainNamesBytes(names, 'domainSearch'), bytes)
  })

  test('are refused beyond 255 bytes each and 64 in a list, and not before', () => {
    const label = (length: number): number[] => [length, ...Array<number>(length).fill(97)]
    const name = [62, 62, 62, 63].flatMap(label)
    assert.deepEqual(readDomainNames(Uint8Array.from([...name, 0]))?.[0]?.length, 252)
    assert.equal(readDomainNames(Uint8Array.from([...name, ...label(1), 0])), undefined)
    const names = (count: number): Uint8Array =>
      Uint8Array.from(Array.from({ length: count }, () => [...label(1), 0]).flat())
    assert.equal(readDomainNames(names(64))?.length, 64)
    assert.equal(readDomainNames(names(65)), undefined)
  })

  test('are put together before pointers are followed', () => {
    const hex = Buffer.from(bytes).toString('hex')
    const pieces = [0, 18, 36].map((at) => hex.slice(at, at + 18))
    const message = messageHex({
      head: '02010600 00000001 0000 0000',
      addresses: '00000000 00000000 00000000 00000000',
      mac: 'fa163e000001',
      options:
        pieces
          .map((piece) => `77${(piece.length / 2).toString(16).padStart(2, '0')}${piece}`)
          .join('') + 'ff',
    })
    assert.deepEqual(decodeMessage(message).options.domainSearch, names)
  })
})

describe('classless routes (RFC 3442, table of examples)', () => {
  const examples: readonly (readonly [string, number, string])[] = [
    ['0.0.0.0', 0, '00'],
    ['10.0.0.0', 8, '08 0a'],
    ['10.0.0.0', 24, '18 0a0000'],
    ['10.17.0.0', 16, '10 0a11'],
    ['10.27.129.0', 24, '18 0a1b81'],
    ['10.229.0.128', 25, '19 0ae50080'],
    ['10.198.122.47', 32, '20 0ac67a2f'],
  ]

  test('are read and written', () => {
    const routes = examples.map(([destination, prefixLength]) => ({
      destination,
      prefixLength,
      router: '10.9.0.1',
    }))
    const bytes = bytesOf(examples.map(([, , hex]) => `${hex} 0a090001`).join(''))
    assert.deepEqual(readClasslessRoutes(bytes), routes)
    assert.deepEqual(classlessRoutesBytes(routes, 'classlessRoutes'), bytes)
  })
})
