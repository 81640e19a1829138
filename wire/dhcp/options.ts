import type { ClasslessRoute } from './classless-routes.ts'
import { DhcpDecodeError } from './errors.ts'
import {
  addressesOption,
  addressOption,
  classlessRoutesOption,
  domainNamesOption,
  flagOption,
  numberOption,
  numbersOption,
  opaqueOption,
  textOption,
  type OptionCodec,
} from './option-values.ts'

/** In the order of their numbers, from 1. */
const messageTypes = [
  'discover',
  'offer',
  'request',
  'decline',
  'ack',
  'nak',
  'release',
  'inform',
] as const
export type MessageType = (typeof messageTypes)[number]

/**
 * The options of a message, pieces put together (RFC 3396). Texts have one character for each byte.
 * TO ADD ONE: a line here, a line in `optionCodecs`, its value in testing/random-message.ts.
 */
export interface DhcpOptions {
  readonly messageType?: MessageType
  readonly serverId?: string
  readonly subnetMask?: string
  readonly routers?: readonly string[]
  readonly dnsServers?: readonly string[]
  readonly hostName?: string
  readonly domainName?: string
  /** At least 68. */
  readonly mtuBytes?: number
  readonly broadcastAddress?: string
  readonly ntpServers?: readonly string[]
  readonly requestedAddress?: string
  /** 0xffffffff is for ever. */
  readonly leaseSeconds?: number
  /** Numbers of the options that the client asks for. */
  readonly parameterRequestList?: readonly number[]
  readonly messageText?: string
  /** Of the IPv4 datagram with its headers, as ISC dhcpd counts. */
  readonly maxMessageBytes?: number
  readonly renewalSeconds?: number
  readonly rebindingSeconds?: number
  readonly vendorClass?: string
  readonly clientId?: Uint8Array
  readonly tftpServerName?: string
  readonly bootFileName?: string
  readonly userClass?: Uint8Array
  readonly rapidCommit?: true
  /** Added by a relay; its presence alone matters here. */
  readonly relayAgentInformation?: Uint8Array
  readonly clientArchitectures?: readonly number[]
  readonly domainSearch?: readonly string[]
  readonly classlessRoutes?: readonly ClasslessRoute[]
  /** Option 249, the number that clients of Microsoft know the routes by. */
  readonly classlessRoutesMicrosoft?: readonly ClasslessRoute[]
  /** Everything else, by number; also an option above whose bytes cannot be its value. Absent if there is none. */
  readonly others?: ReadonlyMap<number, Uint8Array>
}

type TypedOptions = Required<Omit<DhcpOptions, 'others'>>
export type OptionName = keyof TypedOptions

const messageTypeOption: OptionCodec<MessageType> = {
  code: 53,
  // What a message is decides everything else: nobody may take one for BOOTP because its type cannot be read.
  read(bytes) {
    const type = bytes.length === 1 ? messageTypes[(bytes[0] ?? 0) - 1] : undefined
    if (type === undefined) {
      throw new DhcpDecodeError('badOption', 'the message type (53) is none of 1 to 8')
    }
    return type
  },
  write: (type) => Uint8Array.of(messageTypes.indexOf(type) + 1),
}

const MTU_BYTES_MIN = 68

/** In the order in which options are written; what a relay has added comes last (RFC 3046, 2.1). */
export const optionCodecs: { readonly [Name in OptionName]: OptionCodec<TypedOptions[Name]> } = {
  messageType: messageTypeOption,
  serverId: addressOption(54),
  leaseSeconds: numberOption(51, { byteCount: 4 }),
  renewalSeconds: numberOption(58, { byteCount: 4 }),
  rebindingSeconds: numberOption(59, { byteCount: 4 }),
  subnetMask: addressOption(1),
  routers: addressesOption(3),
  dnsServers: addressesOption(6),
  hostName: textOption(12),
  domainName: textOption(15),
  mtuBytes: numberOption(26, { byteCount: 2, min: MTU_BYTES_MIN }),
  broadcastAddress: addressOption(28),
  ntpServers: addressesOption(42),
  requestedAddress: addressOption(50),
  parameterRequestList: numbersOption(55, 1),
  messageText: textOption(56),
  maxMessageBytes: numberOption(57, { byteCount: 2 }),
  vendorClass: textOption(60),
  clientId: opaqueOption(61),
  tftpServerName: textOption(66),
  bootFileName: textOption(67),
  userClass: opaqueOption(77),
  rapidCommit: flagOption(80),
  clientArchitectures: numbersOption(93, 2),
  domainSearch: domainNamesOption(119),
  classlessRoutes: classlessRoutesOption(121),
  classlessRoutesMicrosoft: classlessRoutesOption(249),
  relayAgentInformation: opaqueOption(82, { bytesMin: 0 }),
}

// The object above has exactly these keys, by its type.
export const optionNames = Object.keys(optionCodecs) as readonly OptionName[]

const nameByCode = new Map(optionNames.map((name) => [optionCodecs[name].code, name]))

type Draft = { -readonly [Name in OptionName]?: TypedOptions[Name] }

/** Options by number to options by name; the bytes are theirs from then on. Throws DhcpDecodeError for a message type that is none. */
export function readOptions(byCode: ReadonlyMap<number, Uint8Array>): DhcpOptions {
  const draft: Draft = {}
  const others = new Map<number, Uint8Array>()
  for (const [code, bytes] of byCode) {
    const name = nameByCode.get(code)
    if (name === undefined || !readInto(draft, name, bytes)) others.set(code, bytes)
  }
  return others.size === 0 ? draft : { ...draft, others }
}

function readInto<Name extends OptionName>(draft: Draft, name: Name, bytes: Uint8Array): boolean {
  const value = optionCodecs[name].read(bytes)
  if (value === undefined) return false
  draft[name] = value
  return true
}

/** The bytes of one option; undefined if the message does not have it. Throws DhcpEncodeError. */
export function writeOption<Name extends OptionName>(
  options: Partial<TypedOptions>,
  name: Name,
): Uint8Array | undefined {
  const value = options[name]
  return value === undefined ? undefined : optionCodecs[name].write(value, name)
}
