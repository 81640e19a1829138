import { formatIpv4, integerBelow, pick, type Random } from '@nubo/base'
import type { LocalPort, NetworkSlice, RemotePort, SliceChange, SliceNetwork } from '../slice.ts'

export const sampleTunnel = { ofport: 100 }

/** One network with two subnets, a port here in each, and a port on another host: what the golden tests compile. */
export const sampleSlice: NetworkSlice = {
  networks: [
    {
      networkId: 'shop',
      vni: 5000,
      mtuBytes: 1450,
      subnets: [
        {
          subnetId: 'front',
          cidr: '10.0.0.0/24',
          gatewayAddress: '10.0.0.1',
          gatewayMac: '0a:00:00:00:00:fe',
        },
        {
          subnetId: 'back',
          cidr: '10.0.1.0/24',
          gatewayAddress: '10.0.1.1',
          gatewayMac: '0a:00:00:00:01:fe',
        },
      ],
    },
  ],
  localPorts: [
    {
      portId: 'web',
      networkId: 'shop',
      subnetId: 'front',
      mac: '0a:00:00:00:00:05',
      address: '10.0.0.5',
      ofport: 1,
    },
  ],
  remotePorts: [
    {
      portId: 'store',
      networkId: 'shop',
      subnetId: 'back',
      mac: '0a:00:00:00:01:09',
      address: '10.0.1.9',
      vtep: '192.168.100.12',
    },
  ],
}

/** A network of `count` remote ports and one port here: what a host of a large network holds. */
export function largeSlice(count: number): NetworkSlice {
  const network: SliceNetwork = {
    networkId: 'large',
    vni: 7000,
    mtuBytes: 1450,
    subnets: [
      {
        subnetId: 'wide',
        cidr: '10.64.0.0/10',
        gatewayAddress: '10.64.0.1',
        gatewayMac: '0a:ff:00:00:00:01',
      },
    ],
  }
  const place = { networkId: 'large', subnetId: 'wide' }
  const remotePorts = Array.from({ length: count }, (_, i): RemotePort => {
    const number = i + 2
    return {
      ...place,
      portId: `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`,
      mac: macOf(number),
      address: formatIpv4(0x0a40_0000 + number),
      vtep: formatIpv4(0xc0a8_6401 + (number % 250)),
    }
  })
  const mac = '0a:ff:00:00:00:02'
  const localPorts = [{ ...place, portId: 'here', mac, address: '10.127.0.1', ofport: 1 }]
  return { networks: [network], localPorts, remotePorts }
}

function macOf(number: number): string {
  const hex = number.toString(16).padStart(10, '0')
  return ['0a', ...(hex.match(/../g) ?? [])].join(':')
}

/**
 * Random valid changes, one after the other: networks that overlap each other (same ranges, addresses and MACs),
 * subnets that come, go and change, ports that come, go, move between hosts and trade addresses.
 */
export class SliceWalk {
  readonly #random: Random
  readonly #networks = new Map<string, SliceNetwork>()
  readonly #local = new Map<string, LocalPort>()
  readonly #remote = new Map<string, RemotePort>()

  constructor(random: Random) {
    this.#random = random
  }

  slice(): NetworkSlice {
    return {
      networks: [...this.#networks.values()],
      localPorts: [...this.#local.values()],
      remotePorts: [...this.#remote.values()],
    }
  }

  /** A change that this walk has already taken: `slice()` is the slice after it. */
  next(): SliceChange {
    const steps = [
      () => this.#putNetwork(),
      () => this.#removeNetwork(),
      () => this.#putPorts(),
      () => this.#putPorts(),
      () => this.#putPorts(),
      () => this.#removePorts(),
      () => this.#tradeAddresses(),
    ]
    const step = pick(this.#random, steps)
    return step === undefined ? {} : step()
  }

  #below(limit: number): number {
    return integerBelow(this.#random, limit)
  }

  #ports(): (LocalPort | RemotePort)[] {
    return [...this.#local.values(), ...this.#remote.values()]
  }

  /** A new network, or another version of one: other VNI, other gateway, other unused subnets. */
  #putNetwork(): SliceChange {
    const networkId = `n${this.#below(3)}`
    const subnets = []
    for (let i = 0; i < 4; i++) {
      const subnetId = `${networkId}-s${i}`
      const isUsed = this.#ports().some((port) => port.subnetId === subnetId)
      if (!isUsed && this.#below(2) === 0) continue
      subnets.push({
        subnetId,
        // Wider or narrower around the same addresses: ports stay inside, their rows may change.
        cidr: `10.0.${i * 4}.0/${this.#below(2) === 0 ? 24 : 22}`,
        gatewayAddress: `10.0.${i * 4}.${1 + this.#below(2)}`,
        gatewayMac: `0a:ff:00:00:00:0${this.#below(3)}`,
      })
    }
    // Every VNI is tried by one network only.
    const vni = 1 + 3 * this.#below(5) + Number(networkId.slice(1))
    const network = { networkId, vni, mtuBytes: 1450, subnets }
    this.#networks.set(networkId, network)
    return { putNetworks: [network] }
  }

  #removeNetwork(): SliceChange {
    const networkId = pick(this.#random, [...this.#networks.keys()])
    if (networkId === undefined) return {}
    const removePorts = this.#ports()
      .filter((port) => port.networkId === networkId)
      .map(({ portId }) => portId)
    this.#networks.delete(networkId)
    for (const portId of removePorts) this.#forget(portId)
    return { removeNetworks: [networkId], removePorts }
  }

  #forget(portId: string): void {
    this.#local.delete(portId)
    this.#remote.delete(portId)
  }

  /** Ports new or replaced, here or elsewhere, at addresses and MACs that are free in their network. */
  #putPorts(): SliceChange {
    const putLocalPorts: LocalPort[] = []
    const putRemotePorts: RemotePort[] = []
    for (let i = 0; i <= this.#below(4); i++) {
      const network = pick(this.#random, [...this.#networks.values()])
      const subnet = network === undefined ? undefined : pick(this.#random, network.subnets)
      if (network === undefined || subnet === undefined) continue
      const portId = `p${this.#below(30)}`
      if ([...putLocalPorts, ...putRemotePorts].some((port) => port.portId === portId)) continue
      this.#forget(portId)
      const host = 10 + this.#below(20)
      const address = subnet.cidr.replace(/\d+\/\d+$/, String(host))
      const mac = `0a:00:00:00:00:${host}`
      const isTaken = this.#ports().some(
        (port) =>
          port.networkId === network.networkId && (port.address === address || port.mac === mac),
      )
      if (isTaken) return { putLocalPorts, putRemotePorts, removePorts: [portId] }
      const { networkId } = network
      const port = { portId, networkId, subnetId: subnet.subnetId, mac, address }
      if (this.#below(2) === 0) {
        const local = { ...port, ofport: 1 + Number(portId.slice(1)) }
        this.#local.set(portId, local)
        putLocalPorts.push(local)
      } else {
        const remote = { ...port, vtep: `192.168.100.${1 + this.#below(3)}` }
        this.#remote.set(portId, remote)
        putRemotePorts.push(remote)
      }
    }
    return { putLocalPorts, putRemotePorts }
  }

  #removePorts(): SliceChange {
    const removePorts = ['p-never']
    for (const { portId } of this.#ports()) if (this.#below(6) === 0) removePorts.push(portId)
    for (const portId of removePorts) this.#forget(portId)
    return { removePorts }
  }

  /** Two ports of one subnet swap addresses and MACs in one change. */
  #tradeAddresses(): SliceChange {
    const ports = [...this.#local.values()]
    const a = pick(this.#random, ports)
    const b = pick(
      this.#random,
      ports.filter((port) => port !== a && port.subnetId === a?.subnetId),
    )
    if (a === undefined || b === undefined) return {}
    const putLocalPorts = [
      { ...a, address: b.address, mac: b.mac },
      { ...b, address: a.address, mac: a.mac },
    ]
    for (const port of putLocalPorts) this.#local.set(port.portId, port)
    return { putLocalPorts }
  }
}
