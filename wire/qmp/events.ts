import { QmpReturnError } from './errors.ts'
import { Fields } from './fields.ts'
import type { QmpMessage } from './message.ts'
import { jobStates, jobTypes, migrationStates } from './states.ts'

const shutdownReasons = [
  'none',
  'host-error',
  'host-qmp-quit',
  'host-qmp-system-reset',
  'host-signal',
  'host-ui',
  'guest-shutdown',
  'guest-reset',
  'guest-panic',
  'subsystem-reset',
  'snapshot-load',
] as const

/**
 * The events that are read, each with its fields (qapi/*.json of QEMU 7.2). TO ADD ONE, add its row: the type of
 * `QmpEvent` follows. A guest can cause most of them, and as often as QEMU lets it.
 */
const readers = {
  /** QEMU is going to exit, or (with -no-shutdown) stops. */
  SHUTDOWN: (data: Fields) => readCause(data),
  /** The guest was asked to shut down by `system_powerdown`; it need not. */
  POWERDOWN: () => ({}),
  RESET: (data: Fields) => readCause(data),
  STOP: () => ({}),
  RESUME: () => ({}),
  SUSPEND: () => ({}),
  WAKEUP: () => ({}),
  WATCHDOG: (data: Fields) => ({
    action: data.oneOf('action', [
      'reset',
      'shutdown',
      'poweroff',
      'pause',
      'debug',
      'none',
      'inject-nmi',
    ]),
  }),
  GUEST_PANICKED: (data: Fields) => ({ action: readPanicAction(data) }),
  GUEST_CRASHLOADED: (data: Fields) => ({ action: readPanicAction(data) }),
  /** The guest has let go of a device and it is gone. A device has several paths; one event of them has its id. */
  DEVICE_DELETED: (data: Fields) => readDevice(data),
  /** The guest refused to let go of a device. */
  DEVICE_UNPLUG_GUEST_ERROR: (data: Fields) => readDevice(data),
  MEM_UNPLUG_ERROR: (data: Fields) => ({
    device: data.string('device'),
    message: data.string('msg'),
  }),
  /** A virtio-mem device has another size now; it may still be on the way to the requested one. */
  MEMORY_DEVICE_SIZE_CHANGE: (data: Fields) => ({
    device: data.optionalString('id'),
    sizeBytes: data.size('size'),
    qomPath: data.string('qom-path'),
  }),
  BALLOON_CHANGE: (data: Fields) => ({ actualBytes: data.size('actual') }),
  ACPI_DEVICE_OST: (data: Fields) => {
    const info = data.object('info')
    return {
      device: info.optionalString('device'),
      slot: info.string('slot'),
      slotType: info.oneOf('slot-type', ['DIMM', 'CPU']),
      source: info.integer('source'),
      status: info.integer('status'),
    }
  },
  /** The guest's clock is now this many seconds from the host's. */
  RTC_CHANGE: (data: Fields) => ({ offsetSeconds: data.integer('offset') }),
  NIC_RX_FILTER_CHANGED: (data: Fields) => ({
    device: data.optionalString('name'),
    qomPath: data.string('path'),
  }),
  BLOCK_IO_ERROR: (data: Fields) => ({
    device: data.string('device'),
    nodeName: data.optionalString('node-name'),
    operation: data.oneOf('operation', ['read', 'write']),
    action: readErrorAction(data),
    isOutOfSpace: data.optionalBoolean('nospace') ?? false,
    reason: data.string('reason'),
  }),
  BLOCK_JOB_COMPLETED: (data: Fields) => ({
    ...readBlockJob(data),
    /** Why it failed, or null if it did not. */
    error: data.optionalString('error'),
  }),
  BLOCK_JOB_CANCELLED: (data: Fields) => readBlockJob(data),
  BLOCK_JOB_READY: (data: Fields) => readBlockJob(data),
  BLOCK_JOB_ERROR: (data: Fields) => ({
    device: data.string('device'),
    operation: data.oneOf('operation', ['read', 'write']),
    action: readErrorAction(data),
  }),
  BLOCK_JOB_PENDING: (data: Fields) => ({
    type: data.oneOf('type', jobTypes),
    id: data.string('id'),
  }),
  JOB_STATUS_CHANGE: (data: Fields) => ({
    id: data.string('id'),
    status: data.oneOf('status', jobStates),
  }),
  BLOCK_EXPORT_DELETED: (data: Fields) => ({ id: data.string('id') }),
  VNC_CONNECTED: (data: Fields) => readVnc(data),
  VNC_INITIALIZED: (data: Fields) => readVnc(data),
  VNC_DISCONNECTED: (data: Fields) => readVnc(data),
  MIGRATION: (data: Fields) => ({ status: data.oneOf('status', migrationStates) }),
  MIGRATION_PASS: (data: Fields) => ({ pass: data.size('pass') }),
}

export type QmpEventName = keyof typeof readers
export type QmpEventData<Name extends QmpEventName> = Readonly<ReturnType<(typeof readers)[Name]>>

/** An event that this package reads. */
export type QmpKnownEvent = {
  [Name in QmpEventName]: {
    readonly name: Name
    /** Milliseconds since 1970 by the host's clock, microseconds as fraction; null where QEMU could not tell. */
    readonly atMs: number | null
    readonly data: QmpEventData<Name>
  }
}[QmpEventName]

/** Any other event, or one of a known name whose data are not what they should be (`problem` says why). */
export interface QmpOtherEvent {
  readonly name: 'other'
  readonly eventName: string
  readonly atMs: number | null
  /** As QEMU sent it; nothing in it has been checked. */
  readonly data: Readonly<Record<string, unknown>>
  readonly problem: string | null
}

export type QmpEvent = QmpKnownEvent | QmpOtherEvent

/** Gives an event its type. Never throws: what a guest can make QEMU send must not end the connection. */
export function readEvent(message: Extract<QmpMessage, { is: 'event' }>): QmpEvent {
  const { name, atMs, data } = message
  if (!isKnown(name)) return { name: 'other', eventName: name, atMs, data, problem: null }
  try {
    // The row of a name gives the data of that name; TypeScript does not follow a union through a table.
    return { name, atMs, data: readers[name](new Fields(data, name)) } as QmpKnownEvent
  } catch (error) {
    if (!(error instanceof QmpReturnError)) throw error
    return { name: 'other', eventName: name, atMs, data, problem: error.message }
  }
}

function isKnown(name: string): name is QmpEventName {
  return Object.hasOwn(readers, name)
}

/** `isByGuest`: the guest did it, rather than somebody on the host. */
function readCause(data: Fields) {
  return { isByGuest: data.boolean('guest'), reason: data.oneOf('reason', shutdownReasons) }
}

function readPanicAction(data: Fields) {
  return data.oneOf('action', ['pause', 'poweroff', 'run'])
}

/** `device` is null for parts without an id, such as the bus behind a device. */
function readDevice(data: Fields) {
  return { device: data.optionalString('device'), qomPath: data.string('path') }
}

function readErrorAction(data: Fields) {
  return data.oneOf('action', ['ignore', 'report', 'stop'])
}

/** `device` is the id of the job; `lengthBytes` and `offsetBytes` are its progress. */
function readBlockJob(data: Fields) {
  return {
    type: data.oneOf('type', jobTypes),
    device: data.string('device'),
    lengthBytes: data.size('len'),
    offsetBytes: data.size('offset'),
    speedBytesPerSecond: data.size('speed'),
  }
}

function readVnc(data: Fields) {
  const client = data.object('client')
  return {
    clientHost: client.string('host'),
    clientService: client.string('service'),
    isWebSocket: client.boolean('websocket'),
  }
}
