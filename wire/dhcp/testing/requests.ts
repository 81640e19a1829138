import type { Binding } from '../binding.ts'
import type { DhcpMessage } from '../message.ts'
import type { DhcpOptions } from '../options.ts'

/** A port as tests have it. */
export const binding: Binding = {
  mac: 'fa:16:3e:00:00:01',
  address: '10.9.0.7',
  prefixLength: 24,
  serverId: '10.9.0.1',
  leaseSeconds: 3_600,
  routers: ['10.9.0.1'],
  dnsServers: ['10.9.0.1', '10.9.0.2'],
  mtuBytes: 1_450,
  routes: [{ destination: '169.254.169.254', prefixLength: 32, router: '10.9.0.1' }],
  hostName: 'web-1',
  domainName: 'shop.internal',
  domainSearch: ['shop.internal', 'internal'],
  ntpServers: ['10.9.0.9'],
}

/** A message of the client of that port. */
export function requestWith(
  options: DhcpOptions,
  fields: Partial<Omit<DhcpMessage, 'options'>> = {},
): DhcpMessage {
  return {
    operation: 'request',
    hops: 0,
    transactionId: 0x3877_cb53,
    elapsedSeconds: 3,
    broadcast: false,
    clientAddress: '0.0.0.0',
    yourAddress: '0.0.0.0',
    nextServerAddress: '0.0.0.0',
    relayAddress: '0.0.0.0',
    clientMac: binding.mac,
    serverName: '',
    bootFile: '',
    ...fields,
    options,
  }
}
