import { OpenFlowEncodeError } from './errors.ts'
import type { ReservedPort } from './flow.ts'

/** OFPP_* of OpenFlow 1.1+ (section 7.2.1 of OpenFlow 1.4). */
export const RESERVED_PORTS: { readonly [K in ReservedPort]: number } = {
  inPort: 0xfffffff8,
  table: 0xfffffff9,
  normal: 0xfffffffa,
  flood: 0xfffffffb,
  all: 0xfffffffc,
  controller: 0xfffffffd,
  local: 0xfffffffe,
}

/** OFPP_ANY: no port, or every port, depending on the message. */
export const PORT_ANY = 0xffffffff

const reservedNames = new Map<number, ReservedPort>()
for (const name of Object.keys(RESERVED_PORTS)) {
  // Object.keys of a literal of that mapped type yields its keys and nothing else.
  const reserved = name as ReservedPort
  reservedNames.set(RESERVED_PORTS[reserved], reserved)
}

const ofctlNames: { readonly [K in ReservedPort]: string } = {
  inPort: 'IN_PORT',
  table: 'TABLE',
  normal: 'NORMAL',
  flood: 'FLOOD',
  all: 'ALL',
  controller: 'CONTROLLER',
  local: 'LOCAL',
}

/** Open vSwitch has 16-bit ports below this one; above are reserved ones. */
export const PORTS_END = 0xff00
const RESERVED_START = 0xffffff00

/** True for a number that means a port, real or reserved, in 16 or 32 bits. */
export function isPort(port: number): boolean {
  const is16 = port >= 0 && port <= 0xffff
  const isReserved = port >= RESERVED_START && port <= 0xffffffff
  return Number.isInteger(port) && (is16 || isReserved)
}

/**
 * Open vSwitch still writes reserved ports in 16 bits in its own actions: 0xfffe means 0xfffffffe.
 * Throws OpenFlowEncodeError for a number that is no port.
 */
export function port32(port: number): number {
  if (!isPort(port)) {
    throw new OpenFlowEncodeError(`port ${port} is neither 0..65535 nor a reserved port`)
  }
  return port >= PORTS_END && port <= 0xffff ? port + 0xffff0000 : port
}

/** The 16-bit form of a port, as Nicira actions and NXM_OF_IN_PORT carry it. */
export function port16(port: number): number {
  return port32(port) & 0xffff
}

export function portNumber(port: number | ReservedPort): number {
  return typeof port === 'number' ? port32(port) : RESERVED_PORTS[port]
}

/** The name of a reserved port, or the number itself. */
export function portName(port: number): number | ReservedPort {
  return reservedNames.get(port) ?? port
}

/** As ovs-ofctl prints a port: 7, LOCAL. */
export function formatPort(port: number): string {
  const named = portName(port)
  return typeof named === 'string' ? ofctlNames[named] : String(named)
}

/** Accepts a number in text or a reserved name in either spelling: '7', 'LOCAL', 'local', 'inPort'. */
export function parsePort(text: string): number | undefined {
  if (/^\d{1,10}$/.test(text)) return port32(Number(text))
  const wanted = text.replaceAll('_', '').toLowerCase()
  for (const [number, name] of reservedNames) if (name.toLowerCase() === wanted) return number
  return undefined
}
