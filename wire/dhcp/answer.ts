import type { Binding } from './binding.ts'
import { networkAddress, NO_ADDRESS } from './ipv4-address.ts'
import type { DhcpMessage, EncodeLimits } from './message.ts'
import { configurationOptions, leaseOptions } from './offered-options.ts'
import type { DhcpOptions } from './options.ts'

/**
 * Why a message gets no reply.
 * - `notARequest`, `notForServers`: what only a server sends;
 * - `relayed`: passed on by a relay (giaddr or option 82); a guest is no relay;
 * - `otherMac`: of another client than the one of the port;
 * - `bootp`: without a message type;
 * - `clientIdTooLong`: it would have to be repeated in the reply;
 * - `otherServer`: for another server;
 * - `otherAddress`: an address outside of ours is given back, declined or asked about;
 * - `released`: the client gives its address back. It stays its own;
 * - `conflict`: THE CLIENT HAS FOUND SOMEBODY ELSE WITH ITS ADDRESS (DHCPDECLINE). The caller should tell somebody.
 */
export type SilentReason =
  | 'notARequest'
  | 'notForServers'
  | 'relayed'
  | 'otherMac'
  | 'bootp'
  | 'clientIdTooLong'
  | 'otherServer'
  | 'otherAddress'
  | 'released'
  | 'conflict'

export type Answer =
  | {
      readonly kind: 'reply'
      readonly reply: DhcpMessage
      /** For `encodeMessage`: what this client can take. */
      readonly limits: EncodeLimits
    }
  | { readonly kind: 'silent'; readonly reason: SilentReason }

/** IPv4 without options, and UDP: what a client's maximum message size counts beside the message. */
const HEADERS_BYTES = 20 + 8
/** What every client takes (RFC 2131, 2). */
const DATAGRAM_BYTES_MIN = 576
const ETHERNET_MTU_BYTES = 1_500
/** The longest that is specified: type, IAID and a DUID of 130 (RFC 4361, RFC 8415). */
const CLIENT_ID_BYTES_MAX = 1 + 4 + 130

/**
 * What a server that knows one fixed address per port says to a message: the table of RFC 2131, 4.3, pure and without memory.
 * A well-formed binding never throws; a reply is for `encodeMessage(reply, limits)` and `addressReply(reply)`.
 */
export function answer(request: DhcpMessage, binding: Binding): Answer {
  const reason = reasonToIgnore(request, binding)
  if (reason !== undefined) return silent(reason)
  const { messageType, rapidCommit, requestedAddress } = request.options
  if (messageType === undefined) return silent('bootp')
  switch (messageType) {
    case 'discover':
      // RFC 4039: both sides say so, and the second exchange falls away.
      return rapidCommit === true
        ? leased(request, binding, { messageType: 'ack', rapidCommit })
        : leased(request, binding, { messageType: 'offer' })
    case 'request':
      return answerRequest(request, binding)
    case 'inform':
      return answerInform(request, binding)
    case 'decline':
      if (isForOther(request, binding)) return silent('otherServer')
      return silent(requestedAddress === binding.address ? 'conflict' : 'otherAddress')
    case 'release':
      if (isForOther(request, binding)) return silent('otherServer')
      return silent(request.clientAddress === binding.address ? 'released' : 'otherAddress')
    case 'offer':
    case 'ack':
    case 'nak':
      return silent('notForServers')
  }
}

function silent(reason: SilentReason): Answer {
  return { kind: 'silent', reason }
}

function reasonToIgnore(request: DhcpMessage, binding: Binding): SilentReason | undefined {
  const { options } = request
  if (request.operation !== 'request') return 'notARequest'
  if (request.relayAddress !== NO_ADDRESS || options.relayAgentInformation !== undefined) {
    return 'relayed'
  }
  if (request.clientMac !== binding.mac.toLowerCase()) return 'otherMac'
  return (options.clientId?.length ?? 0) > CLIENT_ID_BYTES_MAX ? 'clientIdTooLong' : undefined
}

function isForOther({ options }: DhcpMessage, binding: Binding): boolean {
  return options.serverId !== undefined && options.serverId !== binding.serverId
}

/**
 * SELECTING names a server and the address; INIT-REBOOT only the address; RENEWING and REBINDING have it in ciaddr. Here they all come
 * down to one question: is the address that the client means the one that it has?
 */
function answerRequest(request: DhcpMessage, binding: Binding): Answer {
  if (isForOther(request, binding)) return silent('otherServer')
  const meant = request.options.requestedAddress ?? request.clientAddress
  if (meant === binding.address) return leased(request, binding, { messageType: 'ack' })
  const messageText = meant === NO_ADDRESS ? 'no address was asked for' : 'wrong address'
  return replyWith(request, binding, {
    addresses: { clientAddress: NO_ADDRESS, yourAddress: NO_ADDRESS },
    options: { messageType: 'nak', messageText },
  })
}

/** Parameters for an address that the client has by other means: neither address nor times (RFC 2131, 4.3.5). */
function answerInform(request: DhcpMessage, binding: Binding): Answer {
  const { clientAddress } = request
  const network = (address: string): string => networkAddress(address, binding.prefixLength)
  if (clientAddress !== NO_ADDRESS && network(clientAddress) !== network(binding.address)) {
    return silent('otherAddress')
  }
  return replyWith(request, binding, {
    addresses: { clientAddress, yourAddress: NO_ADDRESS },
    options: { messageType: 'ack', ...configurationOptions(request, binding) },
  })
}

function leased(
  request: DhcpMessage,
  binding: Binding,
  kind: Pick<DhcpOptions, 'messageType' | 'rapidCommit'>,
): Answer {
  // An OFFER has no ciaddr (RFC 2131, table 3); in an ACK it may only be the address that is confirmed.
  const isHeld = kind.messageType === 'ack' && request.clientAddress === binding.address
  return replyWith(request, binding, {
    addresses: {
      clientAddress: isHeld ? binding.address : NO_ADDRESS,
      yourAddress: binding.address,
    },
    options: { ...kind, ...leaseOptions(binding), ...configurationOptions(request, binding) },
  })
}

function replyWith(
  request: DhcpMessage,
  binding: Binding,
  {
    addresses,
    options,
  }: {
    addresses: Pick<DhcpMessage, 'clientAddress' | 'yourAddress'>
    options: DhcpOptions
  },
): Answer {
  const boot = options.messageType === 'nak' ? undefined : binding.boot
  const { clientId } = request.options
  const reply: DhcpMessage = {
    operation: 'reply',
    hops: 0,
    transactionId: request.transactionId,
    elapsedSeconds: 0,
    broadcast: request.broadcast,
    ...addresses,
    nextServerAddress: boot?.nextServer ?? NO_ADDRESS,
    relayAddress: NO_ADDRESS,
    clientMac: request.clientMac,
    serverName: boot?.serverName ?? '',
    bootFile: boot?.fileName ?? '',
    options: {
      ...options,
      serverId: binding.serverId,
      // RFC 6842: by this a client with several identities knows its own.
      ...(clientId === undefined ? {} : { clientId }),
    },
  }
  return { kind: 'reply', reply, limits: limitsOf(request, binding) }
}

/** No larger than the client takes, and no larger than one frame of its link. */
function limitsOf({ options }: DhcpMessage, { mtuBytes }: Binding): EncodeLimits {
  const wanted = options.maxMessageBytes ?? DATAGRAM_BYTES_MIN
  const datagramBytes = Math.min(wanted, mtuBytes ?? ETHERNET_MTU_BYTES)
  return {
    bytesMax: Math.max(datagramBytes, DATAGRAM_BYTES_MIN) - HEADERS_BYTES,
    asked: new Set(options.parameterRequestList),
  }
}
