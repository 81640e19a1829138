import type { ClasslessRoute } from './classless-routes.ts'

/** For ever, as leaseSeconds. */
export const LEASE_FOREVER_SECONDS = 0xffff_ffff

/**
 * Everything that a server knows about the one client of a port. It is all the state there is: nothing is remembered
 * between messages. Lists may be empty. Wrong addresses show as DhcpEncodeError when a message is answered or written.
 */
export interface Binding {
  /** Of the port; a message of another one is not answered. */
  readonly mac: string
  readonly address: string
  readonly prefixLength: number
  /** The address by which this server is known to the client. */
  readonly serverId: string
  /** Renewed at a half, rebound at seven eighths. LEASE_FOREVER_SECONDS for ever. */
  readonly leaseSeconds: number
  readonly routers: readonly string[]
  readonly dnsServers: readonly string[]
  /** Without those, replies count on 1,500. */
  readonly mtuBytes?: number
  /** Routes beside the default one, which is added from `routers`. */
  readonly routes?: readonly ClasslessRoute[]
  readonly hostName?: string
  readonly domainName?: string
  readonly domainSearch?: readonly string[]
  readonly ntpServers?: readonly string[]
  readonly boot?: Boot
}

/** Where a client that boots over the network gets its file from. */
export interface Boot {
  /** An address: siaddr and, without a name, option 66. */
  readonly nextServer: string
  readonly fileName: string
  /** Option 66 and the field sname. */
  readonly serverName?: string
}
