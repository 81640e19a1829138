/**
 * The physical network of a lab: one namespace with two bridges (switches) in it, one for management and one for
 * guests' traffic, and a cable from each host to each. The servers and the registry run in the machine's own
 * namespace and join the management network by one cable.
 *
 *   machine ──<id>-mgmt──┐
 *                     [mgmt]──h1-mgmt──mgmt0 of h1        198.18.N.0/25
 *                     [data]──h1-data──eth0 of h1         198.18.N.128/25 on its br-phy
 */
import { existsSync } from 'node:fs'
import { cidrsOverlap, parseCidr, PlatformError } from '@nubo/base'
import { ProgramError, run } from '@nubo/runtime'

// 50 bytes of VXLAN over IPv4 on top of the 1500 that guests and their images take for granted, and some to spare.
export const UNDERLAY_MTU_BYTES = 1_600
const MANAGEMENT_MTU_BYTES = 1_500
const INDEXES = 256
export const NETNS_FOLDER = '/run/netns'

// 198.18.0.0/15 is set aside for test networks (RFC 2544), so no real network of a machine should be there.
const rangeOf = (index: number): string => `198.18.${index}.0/24`

export interface UnderlayPlan {
  index: number
  /** Where the servers and the registry listen. */
  serverAddress: string
  /** `number` counts hosts from 1, at most 100. */
  managementAddress(number: number): string
  vtepAddress(number: number): string
}

export const PREFIX = 25

export function underlayPlan(index: number): UnderlayPlan {
  return {
    index,
    serverAddress: `198.18.${index}.1`,
    managementAddress: (number) => `198.18.${index}.${10 + number}`,
    vtepAddress: (number) => `198.18.${index}.${128 + number}`,
  }
}

/**
 * A range that no other lab claims and that overlaps no address or route of the machine. `wanted` is kept if it is
 * free. Throws SETUP_FAILED if `wanted` is not, or if none is left.
 */
export async function chooseUnderlay(options: {
  wanted: number | undefined
  taken: readonly number[]
  /** Where to begin to look. */
  first: number
  /** Link that is ours and may be up already. */
  ownLink: string
}): Promise<number> {
  const used = await usedRanges(options.ownLink)
  const isFree = (index: number): boolean => {
    const range = parseCidr(rangeOf(index))
    return (
      !options.taken.includes(index) &&
      range !== undefined &&
      !used.some((other) => cidrsOverlap(range, other))
    )
  }
  const candidates =
    options.wanted === undefined
      ? Array.from({ length: INDEXES }, (_, offset) => (options.first + offset) % INDEXES)
      : [options.wanted]
  const found = candidates.find(isFree)
  if (found !== undefined) return found
  const range = options.wanted === undefined ? '198.18.0.0/16' : rangeOf(options.wanted)
  throw new PlatformError(
    'SETUP_FAILED',
    { range, next: 'see `ip route show table all`, and give the range back or use another home' },
    { message: `The range ${range}, which the hosts of this cloud use, is taken on this machine.` },
  )
}

async function usedRanges(ownLink: string) {
  const { stdout } = await run({ argv: ['ip', '-j', '-4', 'route', 'show', 'table', 'all'] })
  const routes = JSON.parse(stdout === '' ? '[]' : stdout) as { dst?: string; dev?: string }[] // proof: ip-route(8) -j
  return routes
    .filter((route) => route.dst !== 'default' && route.dev !== ownLink)
    .map((route) => parseCidr(route.dst?.includes('/') === true ? route.dst : `${route.dst}/32`))
    .filter((range) => range !== undefined)
}

export class Underlay {
  readonly plan: UnderlayPlan
  readonly #id: string

  constructor(id: string, plan: UnderlayPlan) {
    this.#id = id
    this.plan = plan
  }

  get namespace(): string {
    return `${this.#id}-ul`
  }

  get serverLink(): string {
    return `${this.#id}-mgmt`
  }

  namespaceOf(host: string): string {
    return `${this.#id}-${host}`
  }

  /** Makes the namespace, the bridges and the servers' cable. Throws if any of them exists. */
  async make(): Promise<void> {
    await run({ argv: ['ip', 'netns', 'add', this.namespace] })
    await ipBatch(this.namespace, [
      'link set lo up',
      `link add mgmt mtu ${MANAGEMENT_MTU_BYTES} type bridge forward_delay 0 mcast_snooping 0`,
      `link add data mtu ${UNDERLAY_MTU_BYTES} type bridge forward_delay 0 mcast_snooping 0`,
      ...['mgmt', 'data'].flatMap((name) => [
        `link set ${name} addrgenmode none`,
        `link set ${name} up`,
      ]),
    ])
    await ipBatch(undefined, [
      `link add ${this.serverLink} type veth peer name servers netns ${this.namespace}`,
      `link set ${this.serverLink} addrgenmode none`,
      `address add ${this.plan.serverAddress}/${PREFIX} dev ${this.serverLink}`,
      `link set ${this.serverLink} up`,
    ])
    await ipBatch(this.namespace, plug('servers', 'mgmt'))
  }

  /** Makes a host's namespace and plugs it in. Its address for tunnels comes later, on its switch. */
  async makeHost(host: string, number: number): Promise<void> {
    const namespace = this.namespaceOf(host)
    await run({ argv: ['ip', 'netns', 'add', namespace] })
    const cable = (end: string, name: string, mtu: number, kind: number): string =>
      `link add ${end} mtu ${mtu} address ${this.#mac(kind, number)} type veth peer name ${host}-${name} mtu ${mtu} netns ${this.namespace}`
    await ipBatch(namespace, [
      'link set lo up',
      cable('mgmt0', 'mgmt', MANAGEMENT_MTU_BYTES, 1),
      cable('eth0', 'data', UNDERLAY_MTU_BYTES, 2),
      ...['mgmt0', 'eth0'].flatMap((name) => [
        `link set ${name} addrgenmode none`,
        `link set ${name} up`,
      ]),
      `address add ${this.plan.managementAddress(number)}/${PREFIX} dev mgmt0`,
    ])
    await ipBatch(this.namespace, [
      ...plug(`${host}-mgmt`, 'mgmt'),
      ...plug(`${host}-data`, 'data'),
    ])
  }

  /** Pulls (or plugs in again) cables of a host at the switch's end. Idempotent. */
  async setCables(
    host: string,
    cables: readonly ('mgmt' | 'data')[],
    state: 'up' | 'down',
  ): Promise<void> {
    await ipBatch(
      this.namespace,
      cables.map((cable) => `link set ${host}-${cable} ${state}`),
    )
  }

  /** Removes a host's namespace and its cables. Its processes must have ended. Idempotent. */
  async removeHost(host: string): Promise<void> {
    for (const cable of [`${host}-mgmt`, `${host}-data`]) await removeLink(this.namespace, cable)
    await removeNamespace(this.namespaceOf(host))
  }

  /** Removes what `make` made. Idempotent. */
  async remove(): Promise<void> {
    await removeLink(undefined, this.serverLink)
    await removeNamespace(this.namespace)
  }

  // The same after each power cycle, so that nobody talks to a MAC that is gone. Locally administered.
  #mac(kind: number, number: number): string {
    const octets = [0x0a, 0x6c, this.plan.index, kind, 0, number]
    return octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':')
  }
}

export async function removeNamespace(namespace: string): Promise<void> {
  if (existsSync(`${NETNS_FOLDER}/${namespace}`)) {
    await run({ argv: ['ip', 'netns', 'delete', namespace] })
  }
}

/**
 * Removes a link if it is there. Links go with their namespace, but some time after it is gone by name, and until
 * then their other ends stay and keep their names taken.
 */
export async function removeLink(namespace: string | undefined, link: string): Promise<void> {
  if (namespace !== undefined && !existsSync(`${NETNS_FOLDER}/${namespace}`)) return
  const place = namespace === undefined ? [] : ['-n', namespace]
  try {
    await run({ argv: ['ip', ...place, 'link', 'delete', 'dev', link] })
  } catch (error) {
    if (!(error instanceof ProgramError && error.stderrTail.includes('Cannot find device')))
      throw error
  }
}

function plug(link: string, bridge: string): string[] {
  return [
    `link set ${link} addrgenmode none`,
    `link set ${link} master ${bridge}`,
    `link set ${link} up`,
  ]
}

/** One `ip` for many changes, in a namespace or (undefined) in the machine's own. */
export async function ipBatch(
  namespace: string | undefined,
  lines: readonly string[],
): Promise<void> {
  const place = namespace === undefined ? [] : ['-n', namespace]
  await run({ argv: ['ip', ...place, '-batch', '-'], input: `${lines.join('\n')}\n` })
}
