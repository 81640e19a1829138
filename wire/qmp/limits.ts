/** Every bound of a connection; reaching one gives a typed error, never unbounded memory. */
export interface QmpLimits {
  /** Bytes of a line from QEMU; a longer one ends the connection. */
  readonly lineBytesMax: number
  /** Nesting of objects and arrays in a line from QEMU; a deeper one ends the connection. */
  readonly depthMax: number
  /** Bytes of a command; a longer one is refused with `QmpValueError`. */
  readonly commandBytesMax: number
  /** Commands that QEMU has not answered, given-up ones included; one more is refused with `QmpOverloadedError`. */
  readonly commandsInFlightMax: number
  /** Bytes that QEMU has not read yet; a command beyond that is refused with `QmpOverloadedError`. */
  readonly sendBufferBytesMax: number
  /** Listeners and waits for events together; one more is refused with `QmpOverloadedError`. */
  readonly listenersMax: number
}

// The largest answer known is query-qmp-schema with 200 KB; a disk with a thousand snapshots in a chain of images comes
// to a few MB. The depth is QEMU's own for what it reads (MAX_NESTING of its JSON parser), and so is the size of a
// command far below its own 64 MiB. QEMU reads eight commands ahead and lets the socket hold the others.
export const defaultQmpLimits: QmpLimits = {
  lineBytesMax: 16 * 1024 * 1024,
  depthMax: 1_024,
  commandBytesMax: 4 * 1024 * 1024,
  commandsInFlightMax: 64,
  sendBufferBytesMax: 16 * 1024 * 1024,
  listenersMax: 1_024,
}
