/**
 * Everything this package throws. The caller tells the kinds apart by class:
 * what we were asked to send is wrong (encode), what the peer sent is wrong (decode), the switch refused (remote),
 * nobody answered in time (timeout), the connection is gone (closed), a named limit was reached (limit).
 */
export abstract class OpenFlowError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** The caller's flow, action or message cannot be expressed in OpenFlow. Nothing was sent. */
export class OpenFlowEncodeError extends OpenFlowError {}

/** Bytes from the peer are not what the protocol says. */
export class OpenFlowDecodeError extends OpenFlowError {}

/**
 * The bytes are well formed, but carry a field, action or instruction that this package does not speak.
 * A dump reports such flows as foreign instead of failing.
 */
export class OpenFlowUnsupportedError extends OpenFlowDecodeError {}

/** No answer within the deadline: what the switch did is unknown. */
export class OpenFlowTimeoutError extends OpenFlowError {}

/** The connection is closed or closing; a pending request may or may not have been carried out. */
export class OpenFlowClosedError extends OpenFlowError {}

/** A named limit of this package was reached; nothing was sent. */
export class OpenFlowLimitError extends OpenFlowError {}

/** The peer speaks no version of OpenFlow that we speak. */
export class OpenFlowVersionError extends OpenFlowError {}
