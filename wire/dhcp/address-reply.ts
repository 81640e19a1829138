import { BROADCAST_ADDRESS, NO_ADDRESS } from './ipv4-address.ts'
import { BROADCAST_MAC } from './mac.ts'
import type { DhcpMessage } from './message.ts'

export const SERVER_PORT = 67
export const CLIENT_PORT = 68

export interface ReplyAddress {
  readonly destinationMac: string
  readonly destinationAddress: string
  readonly sourcePort: number
  readonly destinationPort: number
}

/**
 * Where a reply of `answer` goes (RFC 2131, 4.1): a NAK to everybody, since the client may not have the address that it thinks
 * it has; else to the address that the client uses, to everybody if it asked for that or gets no address, else to the
 * address that it gets, at its MAC.
 */
export function addressReply(reply: DhcpMessage): ReplyAddress {
  const ports = { sourcePort: SERVER_PORT, destinationPort: CLIENT_PORT }
  const isNak = reply.options.messageType === 'nak'
  if (!isNak && reply.clientAddress !== NO_ADDRESS) {
    return {
      destinationMac: reply.clientMac,
      destinationAddress: reply.clientAddress,
      ...ports,
    }
  }
  if (isNak || reply.broadcast || reply.yourAddress === NO_ADDRESS) {
    return { destinationMac: BROADCAST_MAC, destinationAddress: BROADCAST_ADDRESS, ...ports }
  }
  return { destinationMac: reply.clientMac, destinationAddress: reply.yourAddress, ...ports }
}
