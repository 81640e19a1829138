import { isMac, parseIpv4, PlatformError, type ErrorCode, type ErrorDetails } from '@nubo/base'
import type { Action, Flow, FlowChange } from '@nubo/wire-openflow'

/** Largest port number that the switch takes on request (OpenFlow's ports that are no ports begin above). */
export const OFPORT_MAX = 65_279

/** Differs from every list of actions that can be sent: table 255 is the one that no flow can go to. */
export const UNREADABLE_ACTIONS: readonly Action[] = [{ type: 'goto', table: 255 }]

/** An instance's end of a link, as a port of the bridge. */
export interface SwitchInterface {
  readonly portId: string
  /** Network device in the host's namespace: 1..15 characters of letters, digits, '.', '_', '-'. */
  readonly name: string
  /** 1..`OFPORT_MAX`, unique on the bridge; flows may name it before the interface is attached. */
  readonly ofport: number
}

export type InterfaceState =
  /** Recorded; the switch has not opened the device yet. */
  | { readonly at: 'waiting' }
  /** The switch forwards through it, under the wanted ofport. */
  | { readonly at: 'plugged' }
  /** The switch cannot use the device; it tries again by itself when the device appears. */
  | { readonly at: 'failed'; readonly reason: string }

export interface AttachedInterface extends SwitchInterface {
  readonly state: InterfaceState
}

/** `old` is absent for a new port, `new` for one that is gone. */
export interface PortChange {
  readonly portId: string
  readonly old: AttachedInterface | undefined
  readonly new: AttachedInterface | undefined
}

export interface PreparedSwitch {
  /** Other hosts send their tunnel packets to this address and, on a userspace switch, to this MAC. */
  readonly vtep: { readonly address: string; readonly mac: string }
  readonly tunnelOfport: number
}

/** All return a function that ends the listening. Listeners must not throw. */
export interface SwitchEvents {
  /** The switch came back without its flows: all of them must be sent again. Its ports come back by themselves. */
  readonly onRestart: (listener: () => void) => () => void
  /** An interface was attached, detached, plugged, or failed, by whomever. */
  readonly onPortChange: (listener: (change: PortChange) => void) => () => void
  /** Flows or ports cannot be changed until `onReady`. */
  readonly onDisconnected: (listener: (error: Error) => void) => () => void
  /**
   * Everything works again, also the first time. Flows sent while the connection was lost may or may not have
   * arrived: compare `dumpFlows` with what is wanted. Comes after `onRestart` if that applies.
   */
  readonly onReady: (listener: () => void) => () => void
}

/**
 * One bridge of one host. All calls may run concurrently; those for the same port keep their order, and so do
 * bundles of flows. Everything rejects with `SwitchError` only.
 */
export interface SwitchDriver {
  readonly events: SwitchEvents

  /**
   * Makes the bridge, its tunnel port and its settings as configured, changing only what differs, and waits until
   * they work. Must have succeeded before anything else. Idempotent; concurrent calls share one run.
   */
  prepare(): Promise<PreparedSwitch>

  /** Ports of instances by `portId`, also those attached by an earlier life of the agent. Costs nothing. */
  attached(): ReadonlyMap<string, AttachedInterface>

  /**
   * Makes the interface a port of the bridge; resolves when that is recorded (and will survive a restart of the
   * switch). The device may be missing still. Replaces what the `portId` had before. All or nothing; idempotent.
   */
  attach(wanted: SwitchInterface): Promise<void>

  /** Resolves when the switch forwards through the port; rejects if it fails, is not attached, or at the deadline. */
  plugged(portId: string, deadlineMs: number): Promise<void>

  /**
   * Takes the port from the bridge; its device stays. A port that is not attached is no error. Idempotent.
   * Call it before a device of the same name is made anew: a switch holds on to the device that it opened. (A running
   * driver notices a replaced device and attaches it anew by itself; one that was not running cannot.)
   */
  detach(portId: string): Promise<void>

  /** Sends one bundle: all changes take effect in one moment, or none. Idempotent. */
  applyFlows(changes: readonly FlowChange[]): Promise<void>

  /**
   * All flows of the bridge, in no particular order. One with actions that this version does not speak has
   * `UNREADABLE_ACTIONS`, so that a comparison replaces or deletes it; one whose match cannot be read is deleted first.
   */
  dumpFlows(): Promise<Flow[]>

  /**
   * Tells the tunnel the MAC of another host's VTEP, so that the first packet to it is not lost. Remembered for the
   * life of the driver: told again after a restart of the switch, and before the switch forgets. Idempotent.
   */
  setNeighbour(vtep: string, mac: string): Promise<void>

  /** Name and version of the switch, empty before the first connection. */
  version(): string

  /** Ends the connections; what is on the switch stays and goes on working. Idempotent. */
  close(): Promise<void>
}

/** What is wrong, for code; the catalogue code that follows from it is for callers of the platform. */
export type SwitchProblem =
  /** No connection, or it was lost during the call: the outcome is unknown. */
  | 'unreachable'
  /** The switch did not do it in time. */
  | 'timed_out'
  /** Too much is under way already; nothing was sent. */
  | 'overloaded'
  /** The call itself is malformed; nothing was sent. */
  | 'invalid'
  | 'ofport_taken'
  | 'name_taken'
  | 'not_attached'
  /** The device cannot be opened: it is missing, or not of a kind that the switch can use. */
  | 'device_failed'
  /** The bundle contains something that the switch does not accept. Nothing of it took effect. */
  | 'flows_refused'
  /** The host lacks what the driver expects: the underlay bridge, the database, a working tunnel port. */
  | 'host_not_ready'
  | 'closed'

const codes = {
  unreachable: 'ENGINE_UNAVAILABLE',
  timed_out: 'DEADLINE_EXCEEDED',
  overloaded: 'ENGINE_UNAVAILABLE',
  invalid: 'INVALID_INPUT',
  ofport_taken: 'IN_USE',
  name_taken: 'IN_USE',
  not_attached: 'NOT_FOUND',
  device_failed: 'NOT_ALLOWED_NOW',
  flows_refused: 'INTERNAL',
  host_not_ready: 'ENGINE_UNAVAILABLE',
  closed: 'ENGINE_UNAVAILABLE',
} as const satisfies Record<SwitchProblem, ErrorCode>

export class SwitchError extends PlatformError {
  readonly problem: SwitchProblem

  constructor(
    problem: SwitchProblem,
    message: string,
    options: { readonly details?: ErrorDetails; readonly cause?: unknown } = {},
  ) {
    super(
      codes[problem],
      { engine: 'switch', problem, ...options.details },
      { message, cause: options.cause },
    )
    this.name = 'SwitchError'
    this.problem = problem
  }
}

// IFNAMSIZ is 16 with the final zero. OVS itself allows more, but the name must be a device.
const DEVICE_NAME = /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}$/
const PORT_ID_CHARACTERS_MAX = 64

/** Throws `invalid` unless every field is within its documented range. For implementations. */
export function checkInterface(wanted: SwitchInterface): void {
  const { portId, name, ofport } = wanted
  checkPortId(portId)
  if (!DEVICE_NAME.test(name)) throw invalid('name', name)
  if (!Number.isInteger(ofport) || ofport < 1 || ofport > OFPORT_MAX)
    throw invalid('ofport', ofport)
}

/** Throws `invalid` unless it can be the id of a port. For implementations. */
export function checkPortId(portId: string): void {
  if (portId === '' || portId.length > PORT_ID_CHARACTERS_MAX) throw invalid('portId', portId)
}

/** Throws `invalid` unless it is an IPv4 address and a unicast MAC. For implementations. */
export function checkNeighbour(vtep: string, mac: string): void {
  if (parseIpv4(vtep) === undefined) throw invalid('vtep', vtep)
  // The second hexadecimal digit of a group address is odd.
  if (!isMac(mac) || Number.parseInt(mac.charAt(1), 16) % 2 === 1) throw invalid('mac', mac)
}

function invalid(field: string, value: unknown): SwitchError {
  return new SwitchError('invalid', `${field} of a switch call is out of range`, {
    details: { field, value },
  })
}
