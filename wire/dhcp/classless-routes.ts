import { concatBytes, readU8 } from './bytes.ts'
import { DhcpEncodeError } from './errors.ts'
import {
  ADDRESS_BYTES,
  addressBytes,
  NO_ADDRESS,
  networkAddress,
  readAddress,
} from './ipv4-address.ts'

/** A route of option 121 (RFC 3442). A router of 0.0.0.0 means that the destination is on the link itself. */
export interface ClasslessRoute {
  readonly destination: string
  readonly prefixLength: number
  readonly router: string
}

/** The width of a prefix says how many bytes of its destination are written. */
function significantBytes(prefixLength: number): number {
  return Math.ceil(prefixLength / 8)
}

/** Undefined for bytes that are no list of routes. Bits behind a prefix are cleared; they mean nothing. */
export function readClasslessRoutes(bytes: Uint8Array): readonly ClasslessRoute[] | undefined {
  const routes: ClasslessRoute[] = []
  let at = 0
  while (at < bytes.length) {
    const prefixLength = readU8(bytes, at)
    const routerAt = at + 1 + significantBytes(prefixLength)
    if (prefixLength > 32 || routerAt + ADDRESS_BYTES > bytes.length) return undefined
    const padded = new Uint8Array(ADDRESS_BYTES)
    padded.set(bytes.subarray(at + 1, routerAt))
    routes.push({
      destination: networkAddress(readAddress(padded, 0), prefixLength),
      prefixLength,
      router: readAddress(bytes, routerAt),
    })
    at = routerAt + ADDRESS_BYTES
  }
  return routes.length > 0 ? routes : undefined
}

/** Throws DhcpEncodeError for no route, and for a destination with bits behind its prefix. */
export function classlessRoutesBytes(routes: readonly ClasslessRoute[], what: string): Uint8Array {
  if (routes.length === 0) throw new DhcpEncodeError(`${what}: no route; leave the option out`)
  return concatBytes(routes.map((route) => routeBytes(route, what)))
}

function routeBytes(route: ClasslessRoute, what: string): Uint8Array {
  const { destination, prefixLength, router } = route
  const bytes = addressBytes(destination)
  const network = networkAddress(destination, prefixLength)
  if (network !== readAddress(bytes, 0)) {
    throw new DhcpEncodeError(
      `${what}: ${destination}/${prefixLength} has bits behind its prefix; ${network} has not`,
    )
  }
  return concatBytes([
    Uint8Array.of(prefixLength),
    bytes.subarray(0, significantBytes(prefixLength)),
    addressBytes(router),
  ])
}

/**
 * Clients that take these routes ignore option 3, so the default route must be among them (RFC 3442, "Router option").
 * A default route that is there stays the one that counts.
 */
export function withDefaultRoute(
  routes: readonly ClasslessRoute[],
  routers: readonly string[],
): readonly ClasslessRoute[] {
  const [router] = routers
  if (router === undefined || routes.some(({ prefixLength }) => prefixLength === 0)) return routes
  return [...routes, { destination: NO_ADDRESS, prefixLength: 0, router }]
}
