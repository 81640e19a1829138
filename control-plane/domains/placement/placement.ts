import type { HostId } from '@nubo/base'

/**
 * Which host an instance goes to. Pure: filters say which hosts can take it and why others cannot, scores order the
 * rest. Every rejected host gets a reason, so that "why not there?" always has an answer.
 */
export interface Resources {
  readonly cpuMillis: number
  readonly memoryBytes: number
}

export interface PlacementHost {
  readonly id: HostId
  readonly name: string
  readonly rack: string
  readonly zone: string
  readonly roles: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly state: string
  readonly cordoned: boolean
  /** What instances may have, the reserve taken off; null until the agent told. */
  readonly capacity: Resources | null
  readonly allocated: Resources
  /** Instances of the same group that are here already. */
  readonly groupMembers: number
  readonly hasImages: boolean
}

export interface PlacementAsked extends Resources {
  /** Exactly this host, or any. */
  readonly hostId: HostId | null
  readonly hostLabels: Readonly<Record<string, string>>
  readonly spread: 'host' | 'rack' | 'zone'
}

/** How much more may be promised than there is. CPU is shared by time; memory is not. */
export interface Overcommit {
  readonly cpu: number
  readonly memory: number
}
export const OVERCOMMIT_DEFAULT: Overcommit = { cpu: 4, memory: 1 }

export interface RejectedHost {
  readonly host: string
  readonly reason: string
}

export type PlacementChoice =
  | {
      readonly found: true
      readonly hostId: HostId
      readonly score: number
      readonly rejected: readonly RejectedHost[]
    }
  | { readonly found: false; readonly rejected: readonly RejectedHost[] }

/** Why this host cannot take it; undefined if it can. */
export function rejection(
  asked: PlacementAsked,
  host: PlacementHost,
  overcommit: Overcommit,
): string | undefined {
  if (asked.hostId !== null && asked.hostId !== host.id) return 'another host was asked for'
  if (!host.roles.includes('compute')) return 'it does not have the role compute'
  if (host.state !== 'ready') return `it is ${host.state}`
  if (host.cordoned) return 'it is cordoned'
  for (const [key, value] of Object.entries(asked.hostLabels)) {
    if (host.labels[key] !== value) return `its label ${key} is not ${value}`
  }
  if (host.capacity === null) return 'its capacity is not known yet'
  const cpuFree = host.capacity.cpuMillis * overcommit.cpu - host.allocated.cpuMillis
  if (asked.cpuMillis > cpuFree)
    return `CPU: ${cores(asked.cpuMillis)} wanted, ${cores(Math.max(0, cpuFree))} free`
  const memoryFree = host.capacity.memoryBytes * overcommit.memory - host.allocated.memoryBytes
  if (asked.memoryBytes > memoryFree) {
    return `memory: ${mebibytes(asked.memoryBytes)} wanted, ${mebibytes(Math.max(0, memoryFree))} free`
  }
  return undefined
}

function cores(millis: number): string {
  return String(Number((millis / 1_000).toFixed(2)))
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`
}

// Orders of magnitude apart: spread always wins over load, load over a cached image.
const SPREAD_WEIGHT = 1_000
const LOAD_WEIGHT = 100
const IMAGE_WEIGHT = 20

/** Higher is better. `domainMembers` counts the group's instances in the host's rack or zone (or on the host itself). */
export function score(host: PlacementHost, domainMembers: number, overcommit: Overcommit): number {
  const capacity = host.capacity ?? { cpuMillis: 1, memoryBytes: 1 }
  const load = Math.max(
    host.allocated.cpuMillis / (capacity.cpuMillis * overcommit.cpu),
    host.allocated.memoryBytes / (capacity.memoryBytes * overcommit.memory),
  )
  // Two in one rack on different hosts are better than two on one host, whatever the rule spreads over.
  const points =
    -SPREAD_WEIGHT * domainMembers -
    (SPREAD_WEIGHT / 4) * host.groupMembers -
    LOAD_WEIGHT * load +
    (host.hasImages ? IMAGE_WEIGHT : 0)
  return Math.round(points * 100) / 100
}

/** Deterministic: equal scores go to the first name. */
export function choose(
  asked: PlacementAsked,
  hosts: readonly PlacementHost[],
  overcommit: Overcommit,
): PlacementChoice {
  const domainOf = (host: PlacementHost): string =>
    asked.spread === 'host'
      ? host.id
      : asked.spread === 'rack'
        ? `${host.zone}/${host.rack}`
        : host.zone
  const members = new Map<string, number>()
  for (const host of hosts)
    members.set(domainOf(host), (members.get(domainOf(host)) ?? 0) + host.groupMembers)
  const rejected: RejectedHost[] = []
  const able: { host: PlacementHost; score: number }[] = []
  for (const host of hosts) {
    const reason = rejection(asked, host, overcommit)
    if (reason === undefined)
      able.push({ host, score: score(host, members.get(domainOf(host)) ?? 0, overcommit) })
    else rejected.push({ host: host.name, reason })
  }
  able.sort((a, b) => b.score - a.score || (a.host.name < b.host.name ? -1 : 1))
  const best = able[0]
  if (best === undefined) return { found: false, rejected }
  for (const other of able.slice(1)) {
    const isTie = other.score === best.score
    rejected.push({
      host: other.host.name,
      reason: isTie
        ? `as good as ${best.host.name}, which comes first by name`
        : `score ${other.score} against ${best.score} of ${best.host.name}`,
    })
  }
  return { found: true, hostId: best.host.id, score: best.score, rejected }
}

/** Instances of one group are spread: the label `group`, or the name without its last number (web-1, web-2). */
export function groupOf(instance: {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}): string {
  return instance.labels['group'] ?? instance.name.replace(/-?\d+$/, '')
}
