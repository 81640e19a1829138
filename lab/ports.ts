/** Which TCP ports are free, and who has those that are not. Read from the kernel, so nothing is opened. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { PlatformError } from '@nubo/base'
import { readIfThere } from './files.ts'

const LISTEN = '0A'
const PORTS_TRIED_MAX = 200

export interface Listener {
  /** IPv4 text; '*' for all addresses. Others (one IPv6 address) are left out, nothing of ours meets them. */
  address: string
  port: number
  inode: string
}

/** Listening sockets, from the text of /proc/net/tcp or tcp6. */
export function parseListeners(table: string): Listener[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN)
    .map((fields) => {
      const [address = '', port = ''] = (fields[1] ?? '').split(':')
      return {
        address: addressOf(address),
        port: Number.parseInt(port, 16),
        inode: fields[9] ?? '',
      }
    })
    .filter((listener) => listener.address !== '')
}

// The kernel prints an IPv4 address as one number in the machine's byte order.
function addressOf(hex: string): string {
  if (/^0+$/.test(hex)) return '*'
  if (hex.length !== 8) return ''
  return (hex.match(/../g) ?? [])
    .toReversed()
    .map((octet) => Number.parseInt(octet, 16))
    .join('.')
}

export function findListeners(): Listener[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) =>
    parseListeners(readIfThere(path) ?? ''),
  )
}

/** Whoever listens where `address`:`port` would have to be opened. */
export function holderOf(
  listeners: readonly Listener[],
  { address, port }: { address: string; port: number },
): Listener | undefined {
  return listeners.find(
    (other) => other.port === port && (other.address === '*' || other.address === address),
  )
}

/** The first `count` free ports of `first`, `first` + `step`, … on an address. Throws PORT_TAKEN if there are none. */
export function chooseFreePorts(
  listeners: readonly Listener[],
  wanted: {
    address: string
    first: number
    count: number
    step?: number
    taken?: readonly number[]
  },
): number[] {
  const isFree = (port: number): boolean =>
    holderOf(listeners, { address: wanted.address, port }) === undefined &&
    wanted.taken?.includes(port) !== true
  for (let tried = 0; tried < PORTS_TRIED_MAX; tried++) {
    const first = wanted.first + tried * (wanted.step ?? wanted.count)
    const ports = Array.from({ length: wanted.count }, (_, offset) => first + offset)
    if (ports.every(isFree)) return ports
  }
  throw new PlatformError('PORT_TAKEN', { address: wanted.address, first: wanted.first })
}

/** Throws PORT_TAKEN, naming the port, who has it, and what to do. */
export function requireFree(
  listeners: readonly Listener[],
  wanted: { address: string; port: number; use: string; next: string },
): void {
  const holder = holderOf(listeners, wanted)
  if (holder === undefined) return
  const program = programOf(holder)
  throw new PlatformError(
    'PORT_TAKEN',
    { address: wanted.address, port: wanted.port, holder: program, next: wanted.next },
    {
      message: `Port ${wanted.port} of ${wanted.address}, which ${wanted.use} needs, is taken${program === undefined ? '' : ` by ${program}`}.`,
    },
  )
}

function programOf({ inode }: Listener): string | undefined {
  const process = processOfSocket(inode)
  return process === undefined ? undefined : `${process.name} (process ${process.pid})`
}

/** Who has a socket open, or undefined if that cannot be seen. */
export function processOfSocket(
  inode: string,
): { pid: number; name: string; uid: number } | undefined {
  for (const entry of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    try {
      const holdsIt = readdirSync(`/proc/${entry}/fd`).some(
        (fd) => readlinkSync(`/proc/${entry}/fd/${fd}`) === `socket:[${inode}]`,
      )
      if (!holdsIt) continue
      const name = readFileSync(`/proc/${entry}/comm`, 'utf8').trim()
      const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${entry}/status`, 'utf8'))?.[1])
      return { pid: Number(entry), name, uid }
    } catch {
      // It ended, or closed the descriptor, meanwhile.
    }
  }
  return undefined
}
