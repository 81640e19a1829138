import { concatBytes, readText, readU16, readU32, readU8, textBytes, uintBytes } from './bytes.ts'
import { DhcpDecodeError, DhcpEncodeError } from './errors.ts'
import { addressBytes, readAddress } from './ipv4-address.ts'
import { MAC_BYTES, macBytes, readMac } from './mac.ts'
import { collectOptions, END_OF_OPTIONS, optionPieces } from './option-areas.ts'
import {
  optionCodecs,
  optionNames,
  readOptions,
  writeOption,
  type DhcpOptions,
  type OptionName,
} from './options.ts'

/** A DHCP message (RFC 2131, figure 1). Addresses are text; 0.0.0.0 is none. */
export interface DhcpMessage {
  readonly operation: 'request' | 'reply'
  readonly hops: number
  readonly transactionId: number
  readonly elapsedSeconds: number
  /** The client cannot take unicast before it has an address. */
  readonly broadcast: boolean
  /** ciaddr: what the client has. */
  readonly clientAddress: string
  /** yiaddr: what the client gets. */
  readonly yourAddress: string
  /** siaddr: where the client boots from. */
  readonly nextServerAddress: string
  /** giaddr: the relay that has passed it on. */
  readonly relayAddress: string
  /** chaddr. */
  readonly clientMac: string
  /** sname; empty where the field held options. */
  readonly serverName: string
  /** file; empty where the field held options. */
  readonly bootFile: string
  readonly options: DhcpOptions
}

const HARDWARE_ETHERNET = 1
const BROADCAST_FLAG = 0x8000
const COOKIE = 0x6382_5363
const operations = { request: 1, reply: 2 } as const

const CLIENT_HARDWARE = 28
const CLIENT_HARDWARE_BYTES = 16
const SERVER_NAME = 44
const SERVER_NAME_BYTES = 64
const FILE = 108
const FILE_BYTES = 128
const COOKIE_AT = 236
const OPTIONS = 240

/** Twice what any link of ours carries; also what a reply may have. */
export const MESSAGE_BYTES_MAX = 4_096
/** BOOTP knew only messages of this size (RFC 1542, 2.1), and some relays still drop shorter ones. */
export const MESSAGE_BYTES_PADDED = 300

/**
 * Reads the payload of a UDP datagram. Options of a size that they cannot have are among `options.others`.
 * Throws DhcpDecodeError and nothing else. Holds no view of `payload`.
 */
export function decodeMessage(payload: Uint8Array): DhcpMessage {
  // A Buffer slices by reference; below this line everything is a plain array.
  const bytes = new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength)
  checkFixedPart(bytes)
  const serverName = bytes.subarray(SERVER_NAME, SERVER_NAME + SERVER_NAME_BYTES)
  const file = bytes.subarray(FILE, FILE + FILE_BYTES)
  const collected = collectOptions({ options: bytes.subarray(OPTIONS), file, serverName })
  return {
    operation: readU8(bytes, 0) === operations.request ? 'request' : 'reply',
    hops: readU8(bytes, 3),
    transactionId: readU32(bytes, 4),
    elapsedSeconds: readU16(bytes, 8),
    broadcast: (readU16(bytes, 10) & BROADCAST_FLAG) !== 0,
    clientAddress: readAddress(bytes, 12),
    yourAddress: readAddress(bytes, 16),
    nextServerAddress: readAddress(bytes, 20),
    relayAddress: readAddress(bytes, 24),
    clientMac: readMac(bytes, CLIENT_HARDWARE),
    serverName: collected.isServerNameTaken ? '' : textUpToNul(serverName),
    bootFile: collected.isFileTaken ? '' : textUpToNul(file),
    options: readOptions(collected.byCode),
  }
}

function checkFixedPart(bytes: Uint8Array): void {
  if (bytes.length < OPTIONS) {
    throw new DhcpDecodeError('tooShort', `${bytes.length} bytes; a message has ${OPTIONS} or more`)
  }
  if (bytes.length > MESSAGE_BYTES_MAX) {
    throw new DhcpDecodeError('tooLong', `${bytes.length} bytes; at most ${MESSAGE_BYTES_MAX}`)
  }
  const operation = readU8(bytes, 0)
  if (operation !== operations.request && operation !== operations.reply) {
    throw new DhcpDecodeError('badOperation', `operation ${operation}`)
  }
  const hardware = readU8(bytes, 1)
  const hardwareBytes = readU8(bytes, 2)
  if (hardware !== HARDWARE_ETHERNET || hardwareBytes !== MAC_BYTES) {
    throw new DhcpDecodeError(
      'notEthernet',
      `hardware ${hardware} with addresses of ${hardwareBytes} bytes`,
    )
  }
  if (readU32(bytes, COOKIE_AT) !== COOKIE) {
    throw new DhcpDecodeError('noCookie', 'the magic cookie is missing')
  }
}

function textUpToNul(field: Uint8Array): string {
  const end = field.indexOf(0)
  return readText(end < 0 ? field : field.subarray(0, end))
}

/** What a reply must keep to; made by `answer`. */
export interface EncodeLimits {
  /** Of the message, without headers of UDP and IPv4. */
  readonly bytesMax: number
  /** Numbers of the options that the client asked for; these are never left out. */
  readonly asked: ReadonlySet<number>
}

/** What is left out, first to last, where a reply is too long and the client has not asked for it. */
export const droppedFirst: readonly OptionName[] = [
  'messageText',
  'ntpServers',
  'domainSearch',
  'domainName',
  'hostName',
  'tftpServerName',
  'bootFileName',
  'broadcastAddress',
  'classlessRoutesMicrosoft',
  // The default route is in `routers` too, and those stay.
  'classlessRoutes',
  'dnsServers',
]

/**
 * Writes a message, padded to 300 bytes: type first, server next, all options in one order. With `limits` options are
 * left out as `droppedFirst` says until it fits; without, all of them are written.
 * Throws DhcpEncodeError for what cannot be expressed or does not fit.
 */
export function encodeMessage(message: DhcpMessage, limits?: EncodeLimits): Uint8Array {
  const written = writtenOptions(message.options)
  const bytesMax = Math.min(limits?.bytesMax ?? MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX)
  let byteCount = OPTIONS + END_OF_OPTIONS.length
  for (const piece of written.values()) byteCount += piece.length
  for (const name of limits === undefined ? [] : droppedFirst) {
    if (byteCount <= bytesMax) break
    const { code } = optionCodecs[name]
    if (limits?.asked.has(code) === true) continue
    byteCount -= written.get(code)?.length ?? 0
    written.delete(code)
  }
  if (byteCount > bytesMax) {
    throw new DhcpEncodeError(
      `the message has ${byteCount} bytes, at most ${bytesMax} can be sent; ` +
        `give the client fewer options (left: ${[...written.keys()].join(', ')})`,
    )
  }
  const bytes = new Uint8Array(Math.max(byteCount, MESSAGE_BYTES_PADDED))
  bytes.set(concatBytes([fixedPart(message), ...written.values(), END_OF_OPTIONS]))
  return bytes
}

/** Number → bytes with number and length, in the order of writing. */
function writtenOptions(options: DhcpOptions): Map<number, Uint8Array> {
  const written = new Map<number, Uint8Array>()
  const others = [...(options.others ?? [])].toSorted(([a], [b]) => a - b)
  for (const name of optionNames) {
    if (name === 'relayAgentInformation') writeOthers(written, others)
    const value = writeOption(options, name)
    const { code } = optionCodecs[name]
    if (value === undefined) continue
    if (written.has(code)) throw new DhcpEncodeError(`option ${code} is there twice: ${name}`)
    written.set(code, optionPieces(code, value))
  }
  return written
}

function writeOthers(
  written: Map<number, Uint8Array>,
  others: readonly (readonly [number, Uint8Array])[],
): void {
  for (const [code, bytes] of others) {
    if (written.has(code)) throw new DhcpEncodeError(`option ${code} is there twice, once as bytes`)
    written.set(code, optionPieces(code, bytes))
  }
}

function fixedPart(message: DhcpMessage): Uint8Array {
  const mac = new Uint8Array(CLIENT_HARDWARE_BYTES)
  mac.set(macBytes(message.clientMac))
  return concatBytes([
    Uint8Array.of(operations[message.operation], HARDWARE_ETHERNET, MAC_BYTES),
    uintBytes(message.hops, 1, 'hops'),
    uintBytes(message.transactionId, 4, 'transactionId'),
    uintBytes(message.elapsedSeconds, 2, 'elapsedSeconds'),
    uintBytes(message.broadcast ? BROADCAST_FLAG : 0, 2, 'flags'),
    addressBytes(message.clientAddress),
    addressBytes(message.yourAddress),
    addressBytes(message.nextServerAddress),
    addressBytes(message.relayAddress),
    mac,
    textField(message.serverName, SERVER_NAME_BYTES, 'serverName'),
    textField(message.bootFile, FILE_BYTES, 'bootFile'),
    uintBytes(COOKIE, 4, 'cookie'),
  ])
}

/** A NUL ends the text, and readers in C count on it. */
function textField(text: string, fieldBytes: number, what: string): Uint8Array {
  if (text.length >= fieldBytes) {
    throw new DhcpEncodeError(`${what}: ${text.length} characters; at most ${fieldBytes - 1}`)
  }
  const field = new Uint8Array(fieldBytes)
  field.set(textBytes(text, what))
  return field
}
