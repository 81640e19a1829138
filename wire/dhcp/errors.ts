/** Everything this package throws: what we were asked to write is wrong (encode), what came in is refused (decode). */
export abstract class DhcpError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** The message cannot be expressed, or not within the size that the client takes. Nothing was written. */
export class DhcpEncodeError extends DhcpError {}

/**
 * Why a message was refused, for counters and tests.
 * - `tooShort`, `tooLong`: below the fixed part and its cookie, or beyond MESSAGE_BYTES_MAX;
 * - `notEthernet`: another kind of hardware, or another length of its address;
 * - `badOperation`: neither a request nor a reply;
 * - `noCookie`: BOOTP without options, or something else altogether;
 * - `badOption`: an option that is cut off, or a message type or overload that makes no sense;
 * - `tooManyOptions`: beyond OPTIONS_MAX.
 */
export type RefusalReason =
  | 'tooShort'
  | 'tooLong'
  | 'notEthernet'
  | 'badOperation'
  | 'noCookie'
  | 'badOption'
  | 'tooManyOptions'

/** Bytes that are no DHCP message of an Ethernet client. `reason` tells why. */
export class DhcpDecodeError extends DhcpError {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string) {
    super(message)
    this.reason = reason
  }
}
