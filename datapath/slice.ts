/**
 * The part of the network intent that one host needs: input of the compiler. Plain text and numbers; the compiler
 * checks all of it.
 */
export interface NetworkSlice {
  readonly networks: readonly SliceNetwork[]
  /** Ports attached to this host's bridge. */
  readonly localPorts: readonly LocalPort[]
  /** Ports of other hosts that this host can reach directly. */
  readonly remotePorts: readonly RemotePort[]
}

export interface SliceNetwork {
  readonly networkId: string
  /** 1..2^24-1, unique on the host. */
  readonly vni: number
  /** Largest IP packet a guest may send. */
  readonly mtuBytes: number
  /** Ranges of one network do not overlap; ranges of two networks may. */
  readonly subnets: readonly SliceSubnet[]
}

export interface SliceSubnet {
  readonly subnetId: string
  /** '10.0.0.0/24' */
  readonly cidr: string
  /** An address inside the range; the host answers for it. */
  readonly gatewayAddress: string
  /** Unicast; subnets may share it, ports may not have it. */
  readonly gatewayMac: string
}

interface SlicePort {
  /** Unique on the host, over local and remote ports. */
  readonly portId: string
  readonly networkId: string
  readonly subnetId: string
  /** Unicast, lower case, unique in the network. */
  readonly mac: string
  /** Inside the subnet, unique in the network. */
  readonly address: string
}

export interface LocalPort extends SlicePort {
  /** Port number on the bridge, 1..65279, unique on the host. */
  readonly ofport: number
}

export interface RemotePort extends SlicePort {
  /** Tunnel address of the host that has the port. */
  readonly vtep: string
}

/** How this host reaches others: the port number of the flow-keyed VXLAN port on the bridge. */
export interface HostTunnel {
  readonly ofport: number
}

/**
 * What became different in a slice. Taken as a whole: removals first, then puts; an object that is put replaces one of
 * the same id (a port may so become remote, or local). Removing what is not there changes nothing.
 */
export interface SliceChange {
  readonly removeNetworks?: readonly string[]
  readonly removePorts?: readonly string[]
  readonly putNetworks?: readonly SliceNetwork[]
  readonly putLocalPorts?: readonly LocalPort[]
  readonly putRemotePorts?: readonly RemotePort[]
}

/** What can be wrong with a slice. */
export type SliceProblem =
  | 'malformed'
  | 'out_of_range'
  | 'duplicate'
  | 'overlap'
  | 'outside_subnet'
  | 'unknown_network'
  | 'unknown_subnet'
  | 'tunnel_port'
  | 'in_use'

/** The name of an object of a slice, as keys of a program and as errors say it. */
export type ObjectKey = 'host' | `network/${string}` | `subnet/${string}` | `port/${string}`

/** A slice that cannot be compiled. Nothing of it has taken effect. */
export class SliceError extends Error {
  readonly problem: SliceProblem
  /** The object at fault. */
  readonly object: ObjectKey
  /** Its field at fault. */
  readonly field: string

  constructor(options: {
    problem: SliceProblem
    object: ObjectKey
    field: string
    reason: string
  }) {
    super(`${options.object}: ${options.field} ${options.reason}`)
    this.name = 'SliceError'
    this.problem = options.problem
    this.object = options.object
    this.field = options.field
  }
}
