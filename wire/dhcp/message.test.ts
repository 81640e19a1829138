// Proves what a message must be to be read, what becomes of options that cannot be, and what is left out of a long reply.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DhcpDecodeError, DhcpEncodeError, type RefusalReason } from './errors.ts'
import { decodeMessage, encodeMessage, MESSAGE_BYTES_MAX } from './message.ts'
import type { DhcpOptions } from './options.ts'
import { bytesOf, discoverOfUdhcpc } from './testing/messages.ts'
import { requestWith } from './testing/requests.ts'

const fixedPart = discoverOfUdhcpc.subarray(0, 240)

function refused(reason: RefusalReason, bytes: Uint8Array): void {
  assert.throws(
    () => decodeMessage(bytes),
    (error) => error instanceof DhcpDecodeError && error.reason === reason,
  )
}

function withByte(at: number, value: number): Uint8Array {
  const bytes = discoverOfUdhcpc.slice()
  bytes[at] = value
  return bytes
}

function optionsOf(hex: string): DhcpOptions {
  return decodeMessage(Buffer.concat([fixedPart, bytesOf(hex)])).options
}

describe('the fixed part', () => {
  test('is refused for other hardware, operations, cookies and sizes', () => {
    refused('badOperation', withByte(0, 0))
    refused('badOperation', withByte(0, 3))
    refused('notEthernet', withByte(1, 6))
    refused('notEthernet', withByte(2, 16))
    refused('notEthernet', withByte(2, 0))
    refused('noCookie', withByte(239, 0))
    refused('tooShort', discoverOfUdhcpc.subarray(0, 239))
    refused('tooLong', Buffer.concat([discoverOfUdhcpc, new Uint8Array(MESSAGE_BYTES_MAX)]))
  })

  test('of a message without options is read: BOOTP', () => {
    assert.deepEqual(optionsOf(''), {})
  })

  test('is kept apart from the bytes that it was read from', () => {
    const bytes = Buffer.concat([fixedPart, bytesOf('350101 3d0301aabb e00107 ff')])
    const message = decodeMessage(bytes)
    const before = structuredClone(message)
    bytes.fill(0xee)
    assert.deepEqual(message, before)
  })

  test('the text of a field ends at the first NUL, or with the field', () => {
    const bytes = discoverOfUdhcpc.slice()
    bytes.set(Buffer.from('boot\0rest'), 108)
    bytes.fill(0x61, 44, 108)
    const { bootFile, serverName } = decodeMessage(bytes)
    assert.equal(bootFile, 'boot')
    assert.equal(serverName, 'a'.repeat(64))
  })
})

describe('options', () => {
  test('may end without END, be padded between, and be followed by anything behind END', () => {
    assert.deepEqual(optionsOf('350101'), { messageType: 'discover' })
    assert.deepEqual(optionsOf('0000350101 00 ff 0c05'), { messageType: 'discover' })
  })

  test('that are cut off are refused', () => {
    for (const hex of ['35', '3501', '350101 0c05 61'])
      refused('badOption', Buffer.concat([fixedPart, bytesOf(hex)]))
  })

  test('a message type and an overload that make no sense are refused', () => {
    for (const hex of ['350100', '350109', '35020101', '3500', '350101 350101'])
      refused('badOption', Buffer.concat([fixedPart, bytesOf(hex)]))
    for (const hex of ['340100', '340104', '3400', '34020101', '340101 340102'])
      refused('badOption', Buffer.concat([fixedPart, bytesOf(`350101 ${hex}`)]))
  })

  test('that cannot be their value are kept as bytes, and nobody takes them for one', () => {
    const wrong: readonly (readonly [number, string])[] = [
      [1, 'ffffff'],
      [3, ''],
      [3, '0a0900010a'],
      [12, ''],
      [12, '0000'],
      [12, '610062'],
      [26, '0043'],
      [26, '05'],
      [50, '0a0900'],
      [51, '000e10'],
      [55, ''],
      [57, '024000'],
      [61, ''],
      [80, '01'],
      [93, '000700'],
      [119, '00'],
      [119, '0361'],
      [119, '0361626300 c0'],
      [119, '0361626300 c009'],
      [119, 'c000'],
      [119, '0161c000'],
      [119, '03612e6200'],
      [119, '4161'],
      [121, '210a090001'],
      [121, '18 0a0000 0a0900'],
    ]
    for (const [code, hex] of wrong) {
      const value = bytesOf(hex)
      const head = Buffer.from([code, value.length]).toString('hex')
      const others = new Map([[code, value]])
      assert.deepEqual(optionsOf(`350101 ${head} ${hex} ff`), { messageType: 'discover', others })
    }
  })

  test('NULs at the end of a text are no part of it', () => {
    assert.equal(optionsOf('0c04 61620000').hostName, 'ab')
  })

  test('unknown ones and the client FQDN (81) are kept as bytes', () => {
    assert.deepEqual(
      optionsOf('51050000006162 e00107 ff').others,
      new Map([
        [81, bytesOf('0000006162')],
        [224, Uint8Array.of(7)],
      ]),
    )
  })

  test('a relay is seen even if it says nothing', () => {
    assert.deepEqual(optionsOf('5200').relayAgentInformation, new Uint8Array(0))
  })
})

describe('encoding', () => {
  function refusedToWrite(options: DhcpOptions, pattern: RegExp): void {
    assert.throws(
      () => encodeMessage(requestWith(options)),
      (error) => error instanceof DhcpEncodeError && pattern.test(error.message),
    )
  }

  test('refuses what cannot be said, and names it', () => {
    refusedToWrite({ subnetMask: '255.255.255' }, /"255.255.255" is no IPv4/)
    refusedToWrite({ routers: [] }, /routers: an empty list/)
    refusedToWrite({ hostName: '' }, /hostName: an empty text/)
    refusedToWrite({ hostName: 'a\0' }, /hostName: character 1/)
    refusedToWrite({ domainName: '☁' }, /domainName: character 0/)
    refusedToWrite({ mtuBytes: 67 }, /mtuBytes: 67 is below 68/)
    refusedToWrite({ mtuBytes: 65_536 }, /mtuBytes: 65536 does not fit/)
    refusedToWrite({ leaseSeconds: -1 }, /leaseSeconds: -1 is below 0/)
    refusedToWrite({ domainSearch: ['a..b'] }, /domainSearch: "a..b" has a label of 0/)
    refusedToWrite({ domainSearch: [`${'a'.repeat(64)}.b`] }, /label of 64/)
    refusedToWrite({ domainSearch: [`${'a.'.repeat(130)}a`] }, /at most 253/)
    refusedToWrite({ domainSearch: Array<string>(65).fill('a') }, /65 names/)
    const route = { destination: '10.0.0.1', prefixLength: 24, router: '10.0.0.1' }
    refusedToWrite({ classlessRoutes: [route] }, /10\.0\.0\.1\/24 has bits behind/)
    refusedToWrite({ classlessRoutes: [{ ...route, prefixLength: 33 }] }, /prefixLength: 33/)
    refusedToWrite({ others: new Map([[52, Uint8Array.of(1)]]) }, /option 52/)
    refusedToWrite({ others: new Map([[255, Uint8Array.of(1)]]) }, /option 255/)
    refusedToWrite(
      { hostName: 'a', others: new Map([[12, Uint8Array.of(1)]]) },
      /12 is there twice/,
    )
    const relayed = { relayAgentInformation: Uint8Array.of(1) }
    refusedToWrite({ ...relayed, others: new Map([[82, Uint8Array.of(1)]]) }, /82 is there twice/)
  })

  test('refuses fields that are too long', () => {
    assert.throws(
      () => encodeMessage(requestWith({}, { bootFile: 'a'.repeat(128) })),
      /at most 127/,
    )
    assert.throws(
      () => encodeMessage(requestWith({}, { serverName: 'a'.repeat(64) })),
      /at most 63/,
    )
    assert.throws(() => encodeMessage(requestWith({}, { clientMac: 'fa:16' })), /no MAC/)
  })

  test('what a relay added comes last, raw options before it in order of their numbers', () => {
    const others = new Map([
      [224, Uint8Array.of(2)],
      [81, Uint8Array.of(1)],
    ])
    const relayAgentInformation = Uint8Array.of(9)
    const bytes = encodeMessage(
      requestWith({ others, relayAgentInformation, serverId: '10.0.0.1', messageType: 'ack' }),
    )
    assert.deepEqual(
      bytes.subarray(240, 240 + 19),
      bytesOf('350105 36040a000001 510101 e00102 520109 ff').subarray(0, 19),
    )
  })
})

describe('a reply that is too long', () => {
  const limits = (bytesMax: number, ...asked: number[]) => ({ bytesMax, asked: new Set(asked) })
  const routes = Array.from({ length: 20 }, (_, index) => ({
    destination: `10.${index}.0.0`,
    prefixLength: 16,
    router: '10.9.0.1',
  }))
  const reply = requestWith({
    messageType: 'ack',
    domainName: 'd'.repeat(100),
    hostName: 'h'.repeat(100),
    routers: ['10.9.0.1'],
    classlessRoutes: routes,
  })
  const left = (bytesMax: number, ...asked: number[]): string[] =>
    Object.keys(decodeMessage(encodeMessage(reply, limits(bytesMax, ...asked))).options)

  test('loses what was not asked for, in the declared order, and no more than it must', () => {
    const all = ['messageType', 'routers', 'hostName', 'domainName', 'classlessRoutes']
    assert.deepEqual(left(700), all)
    assert.deepEqual(
      left(548),
      all.filter((name) => name !== 'domainName'),
    )
    assert.deepEqual(left(400), ['messageType', 'routers', 'classlessRoutes'])
    assert.deepEqual(left(300), ['messageType', 'routers'])
  })

  test('keeps what was asked for and loses something else', () => {
    assert.deepEqual(left(548, 15), ['messageType', 'routers', 'domainName', 'classlessRoutes'])
    assert.deepEqual(left(548, 15, 121), [
      'messageType',
      'routers',
      'domainName',
      'classlessRoutes',
    ])
  })

  test('is refused if all of it was asked for, with the sizes', () => {
    assert.throws(() => left(548, 12, 15, 121), {
      name: 'DhcpEncodeError',
      message: /has 596 bytes, at most 548 .* \(left: 53, 3, 12, 15, 121\)/,
    })
  })

  test('loses nothing where no limit is given', () => {
    assert.equal(decodeMessage(encodeMessage(reply)).options.domainName, 'd'.repeat(100))
    const messageText = 'a'.repeat(MESSAGE_BYTES_MAX)
    assert.throws(() => encodeMessage(requestWith({ messageText })), DhcpEncodeError)
  })
})
