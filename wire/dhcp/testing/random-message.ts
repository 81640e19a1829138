import type { ClasslessRoute } from '../classless-routes.ts'
import { networkAddress } from '../ipv4-address.ts'
import type { DhcpMessage } from '../message.ts'
import { optionCodecs, optionNames, type DhcpOptions, type OptionName } from '../options.ts'
import type { SeededRandom } from './random.ts'

function randomRoute(random: SeededRandom): ClasslessRoute {
  const prefixLength = random.below(33)
  return {
    destination: networkAddress(random.address(), prefixLength),
    prefixLength,
    router: random.address(),
  }
}

const messageTypes = [
  'discover',
  'offer',
  'request',
  'decline',
  'ack',
  'nak',
  'release',
  'inform',
] as const

type Typed = Required<Omit<DhcpOptions, 'others'>>

function valuesOf(random: SeededRandom): { readonly [Name in OptionName]: () => Typed[Name] } {
  const address = (): string => random.address()
  const addresses = (): string[] => random.list(1 + random.below(4), address)
  const u32 = (): number => random.below(0x1_0000_0000)
  const routes = (): ClasslessRoute[] => random.list(1 + random.below(5), () => randomRoute(random))
  return {
    messageType: () => random.pick(messageTypes),
    serverId: address,
    leaseSeconds: u32,
    renewalSeconds: u32,
    rebindingSeconds: u32,
    subnetMask: address,
    routers: addresses,
    dnsServers: addresses,
    hostName: () => random.text(40),
    domainName: () => random.text(40),
    mtuBytes: () => 68 + random.below(0xffff - 67),
    broadcastAddress: address,
    ntpServers: addresses,
    requestedAddress: address,
    parameterRequestList: () => [...random.bytes(1 + random.below(20))],
    // Long enough to be cut into pieces.
    messageText: () => random.text(700),
    maxMessageBytes: () => random.below(0x10000),
    vendorClass: () => random.text(40),
    clientId: () => random.bytes(1 + random.below(300)),
    tftpServerName: () => random.text(40),
    bootFileName: () => random.text(40),
    userClass: () => random.bytes(1 + random.below(40)),
    rapidCommit: () => true,
    clientArchitectures: () => random.list(1 + random.below(3), () => random.below(0x10000)),
    domainSearch: () => random.list(1 + random.below(20), () => random.name()),
    classlessRoutes: routes,
    classlessRoutesMicrosoft: routes,
    relayAgentInformation: () => random.bytes(random.below(30)),
  }
}

export function randomOptions(random: SeededRandom, share = 0.4): DhcpOptions {
  const values = valuesOf(random)
  const chosen = optionNames.filter(() => random.chance(share))
  const typed = Object.fromEntries(chosen.map((name) => [name, values[name]()])) as DhcpOptions
  const others = new Map(
    random
      .list(random.below(3), () => 1 + random.below(254))
      .filter((code) => code !== 52 && !typedCodes.has(code))
      .map((code) => [code, random.bytes(random.below(300))]),
  )
  return others.size === 0 ? typed : { ...typed, others }
}

const typedCodes = new Set(optionNames.map((name) => optionCodecs[name].code))

export function randomMessage(random: SeededRandom): DhcpMessage {
  return {
    operation: random.chance(0.5) ? 'request' : 'reply',
    hops: random.below(256),
    transactionId: random.below(0x1_0000_0000),
    elapsedSeconds: random.below(0x10000),
    broadcast: random.chance(0.5),
    clientAddress: random.address(),
    yourAddress: random.address(),
    nextServerAddress: random.address(),
    relayAddress: random.address(),
    clientMac: random.mac(),
    serverName: random.chance(0.5) ? '' : random.text(63),
    bootFile: random.chance(0.5) ? '' : random.text(127),
    options: randomOptions(random),
  }
}
