/** Everything this package throws: what we were asked to write is wrong (encode), what came in is refused (decode). */
export abstract class PacketError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** The caller's frame cannot be expressed: an address that is none, a number that does not fit its field. */
export class PacketEncodeError extends PacketError {}

/**
 * Why a frame was refused, for counters and tests.
 * - `tooShort`, `tooLong`: a header is not there as a whole, or a length says more than there is;
 * - `tagged`: 802.1Q or 802.1ad, which a port of a guest does not speak;
 * - `notEthernet2`: the 802.3 form with a length where the type should be;
 * - `otherProtocol`: well formed, and not what was asked for;
 * - `badHeader`: a version, length or hardware type that the protocol does not allow;
 * - `badChecksum`: damaged on the way, or written by somebody who does not count;
 * - `fragment`: a piece of a datagram; this package does not put them together.
 */
export type RefusalReason =
  | 'tooShort'
  | 'tooLong'
  | 'tagged'
  | 'notEthernet2'
  | 'otherProtocol'
  | 'badHeader'
  | 'badChecksum'
  | 'fragment'

/** Bytes that are not what the protocol says, or that this package does not speak. `reason` tells which. */
export class PacketDecodeError extends PacketError {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string) {
    super(message)
    this.reason = reason
  }
}
