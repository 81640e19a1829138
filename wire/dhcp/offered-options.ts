import { LEASE_FOREVER_SECONDS, type Binding } from './binding.ts'
import { withDefaultRoute } from './classless-routes.ts'
import { broadcastAddress, subnetMask } from './ipv4-address.ts'
import type { DhcpMessage } from './message.ts'
import { optionCodecs, type DhcpOptions, type OptionName } from './options.ts'

/** The times of a lease; one for ever is neither renewed nor rebound. */
export function leaseOptions({ leaseSeconds }: Binding): DhcpOptions {
  if (leaseSeconds === LEASE_FOREVER_SECONDS) return { leaseSeconds }
  return {
    leaseSeconds,
    renewalSeconds: Math.floor(leaseSeconds / 2),
    rebindingSeconds: Math.floor((leaseSeconds * 7) / 8),
  }
}

/**
 * What a client must know to reach anything goes to every client; the rest to one that asks for it, or that sends no
 * list at all. Microsoft's number for the routes and the options for booting go only to one that asks.
 */
export function configurationOptions(request: DhcpMessage, binding: Binding): DhcpOptions {
  const list = request.options.parameterRequestList
  const asks = (name: OptionName): boolean => list?.includes(optionCodecs[name].code) === true
  const wants = (name: OptionName): boolean => list === undefined || asks(name)
  return {
    ...reachOptions(binding, asks('classlessRoutesMicrosoft')),
    ...given('hostName', wants('hostName') ? binding.hostName : undefined),
    ...given('domainName', wants('domainName') ? binding.domainName : undefined),
    ...givenList('domainSearch', wants('domainSearch') ? binding.domainSearch : undefined),
    ...givenList('ntpServers', wants('ntpServers') ? binding.ntpServers : undefined),
    ...bootOptions(binding, asks),
  }
}

function reachOptions(binding: Binding, forMicrosoft: boolean): DhcpOptions {
  const { address, prefixLength, routers, routes = [] } = binding
  const all = routes.length === 0 ? [] : withDefaultRoute(routes, routers)
  return {
    subnetMask: subnetMask(prefixLength),
    ...given('broadcastAddress', broadcastAddress(address, prefixLength)),
    ...givenList('routers', routers),
    ...givenList('dnsServers', binding.dnsServers),
    ...given('mtuBytes', binding.mtuBytes),
    ...givenList('classlessRoutes', all),
    ...givenList('classlessRoutesMicrosoft', forMicrosoft ? all : undefined),
  }
}

function bootOptions({ boot }: Binding, asks: (name: OptionName) => boolean): DhcpOptions {
  if (boot === undefined) return {}
  return {
    ...(asks('tftpServerName') ? { tftpServerName: boot.serverName ?? boot.nextServer } : {}),
    ...(asks('bootFileName') ? { bootFileName: boot.fileName } : {}),
  }
}

/** The option, or none of it. */
function given<Name extends OptionName>(
  name: Name,
  value: DhcpOptions[Name] | undefined,
): DhcpOptions {
  return value === undefined ? {} : { [name]: value }
}

function givenList<Name extends OptionName>(
  name: Name,
  list: (DhcpOptions[Name] & readonly unknown[]) | undefined,
): DhcpOptions {
  return list === undefined || list.length === 0 ? {} : given(name, list)
}
