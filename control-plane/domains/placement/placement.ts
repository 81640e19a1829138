import type { HostId } from '@nubo/base'

/**
 * Which host an instance goes to. Pure: filters say which hosts can take it and why others cannot, scores order the
 * rest. Every host that is not taken has a reason, so that "why not there?" always has an answer.
 */
export interface Resources {
  readonly cpuMillis: number
  readonly memoryBytes: number
}

/** Where a failure hits together. A rack is one of its zone. */
export type FailureDomain = 'host' | 'rack' | 'zone'

/** What placement knows of a host, without what is on it. */
export interface HostFacts {
  readonly id: HostId
  readonly name: string
  readonly rack: string
  readonly zone: string
  readonly roles: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly state: string
  readonly cordoned: boolean
  readonly maintenance: boolean
  /** What instances may have, the reserve taken off; null until the agent told. */
  readonly capacity: Resources | null
  /** What it runs VMs with; null: it runs none. */
  readonly accelerator: 'kvm' | 'tcg' | null
}

export interface HostWithRoom extends HostFacts {
  readonly allocated: Resources
}

export interface PlacementHost extends HostWithRoom {
  /** Instances of the same group that are here already. */
  readonly groupMembers: number
  readonly hasImages: boolean
}

export interface PlacementAsked extends Resources {
  /** Exactly this host, or any. */
  readonly hostId: HostId | null
  readonly hostLabels: Readonly<Record<string, string>>
  /** Members of a group are kept apart by this as far as there is room. */
  readonly spread: FailureDomain
  /** Two members of a group are never in the same one. */
  readonly antiAffinity?: FailureDomain | null
  readonly kind: 'set' | 'vm'
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

/** Why a host cannot take something. The text is the short one, for many hosts at once. */
export const refusals = {
  'other-host': 'another host was asked for',
  role: 'it does not have the role compute',
  state: 'it is not ready',
  cordoned: 'it is cordoned',
  maintenance: 'it is in maintenance',
  label: 'its labels do not fit',
  'no-capacity': 'its capacity is not known yet',
  'no-vms': 'it runs no VMs',
  cpu: 'not enough CPU',
  memory: 'not enough memory',
  'anti-affinity': 'its group is there already',
  reserve: 'what is free is held in reserve',
} as const
export type Refusal = keyof typeof refusals

/** What is free on a host; never negative, nothing where the capacity is not known. */
export function freeOn(
  host: Pick<HostWithRoom, 'capacity' | 'allocated'>,
  overcommit: Overcommit,
): Resources {
  if (host.capacity === null) return { cpuMillis: 0, memoryBytes: 0 }
  const { cpuMillis, memoryBytes } = host.capacity
  return {
    cpuMillis: Math.max(0, cpuMillis * overcommit.cpu - host.allocated.cpuMillis),
    memoryBytes: Math.max(0, memoryBytes * overcommit.memory - host.allocated.memoryBytes),
  }
}

/** Whether instances may be placed there at all, whatever they ask for. */
export function isUsable(host: HostFacts): boolean {
  return (
    host.state === 'ready' &&
    !host.cordoned &&
    !host.maintenance &&
    host.capacity !== null &&
    host.roles.includes('compute')
  )
}

/** What of the host itself stands against it; undefined if nothing does. Says nothing of groups and of the reserve. */
export function refusal(
  asked: PlacementAsked,
  host: HostWithRoom,
  overcommit: Overcommit,
): Refusal | undefined {
  if (asked.hostId !== null && asked.hostId !== host.id) return 'other-host'
  if (!host.roles.includes('compute')) return 'role'
  if (host.state !== 'ready') return 'state'
  if (host.maintenance) return 'maintenance'
  if (host.cordoned) return 'cordoned'
  for (const key in asked.hostLabels) if (host.labels[key] !== asked.hostLabels[key]) return 'label'
  if (asked.kind === 'vm' && host.accelerator === null) return 'no-vms'
  const { capacity, allocated } = host
  if (capacity === null) return 'no-capacity'
  if (asked.cpuMillis > capacity.cpuMillis * overcommit.cpu - allocated.cpuMillis) return 'cpu'
  if (asked.memoryBytes > capacity.memoryBytes * overcommit.memory - allocated.memoryBytes)
    return 'memory'
  return undefined
}

/** The refusal as it stands for this one host, with its numbers. */
export function refusalText(
  why: Refusal,
  asked: PlacementAsked,
  host: HostWithRoom,
  overcommit: Overcommit,
): string {
  const free = freeOn(host, overcommit)
  switch (why) {
    case 'state':
      return `it is ${host.state}`
    case 'label': {
      const fails = Object.entries(asked.hostLabels).find(([key, to]) => host.labels[key] !== to)
      return `its label ${fails?.[0] ?? ''} is not ${fails?.[1] ?? ''}`
    }
    case 'cpu':
      return `CPU: ${cores(asked.cpuMillis)} wanted, ${cores(free.cpuMillis)} free`
    case 'memory':
      return `memory: ${mebibytes(asked.memoryBytes)} wanted, ${mebibytes(free.memoryBytes)} free`
    case 'anti-affinity':
      return `one of its group is on the same ${asked.antiAffinity ?? 'host'} already`
    case 'reserve':
      return `what is free in ${host.zone} is held in reserve for the sets of hosts that fail`
    case 'other-host':
    case 'role':
    case 'cordoned':
    case 'maintenance':
    case 'no-capacity':
    case 'no-vms':
      return refusals[why]
  }
}

/** Why this host cannot take it; undefined if it can. */
export function rejection(
  asked: PlacementAsked,
  host: HostWithRoom,
  overcommit: Overcommit,
): string | undefined {
  const why = refusal(asked, host, overcommit)
  return why === undefined ? undefined : refusalText(why, asked, host, overcommit)
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
export function score(
  host: Pick<PlacementHost, 'capacity' | 'allocated' | 'groupMembers' | 'hasImages'>,
  domainMembers: number,
  overcommit: Overcommit,
): number {
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

/** The name of the host's failure domain, for counting. */
export function domainOf(host: HostFacts, level: FailureDomain): string {
  switch (level) {
    case 'host':
      return host.id
    case 'rack':
      return rackOf(host)
    case 'zone':
      return host.zone
  }
}

export function rackOf(host: Pick<HostFacts, 'zone' | 'rack'>): string {
  return `${host.zone}/${host.rack}`
}

/** Deterministic: equal scores go to the first name. Looks at every host; see `Chooser` for thousands of them. */
export function choose(
  asked: PlacementAsked,
  hosts: readonly PlacementHost[],
  overcommit: Overcommit,
): PlacementChoice {
  const members = new Map<string, number>()
  for (const host of hosts) {
    for (const level of ['host', 'rack', 'zone'] as const) {
      const key = `${level} ${domainOf(host, level)}`
      members.set(key, (members.get(key) ?? 0) + host.groupMembers)
    }
  }
  const membersIn = (host: PlacementHost, level: FailureDomain): number =>
    members.get(`${level} ${domainOf(host, level)}`) ?? 0
  const rejected: RejectedHost[] = []
  const able: ScoredHost[] = []
  const { antiAffinity = null } = asked
  for (const host of hosts) {
    const isExcluded = antiAffinity !== null && membersIn(host, antiAffinity) > 0
    const why = refusal(asked, host, overcommit) ?? (isExcluded ? 'anti-affinity' : undefined)
    if (why === undefined)
      able.push({ host, score: score(host, membersIn(host, asked.spread), overcommit) })
    else rejected.push({ host: host.name, reason: refusalText(why, asked, host, overcommit) })
  }
  able.sort(byScore)
  const best = able[0]
  if (best === undefined) return { found: false, rejected }
  for (const other of able.slice(1))
    rejected.push({ host: other.host.name, reason: lowerScore(other, best) })
  return { found: true, hostId: best.host.id, score: best.score, rejected }
}

export interface ScoredHost {
  readonly host: HostFacts
  readonly score: number
}

/** The best first. */
export function byScore(a: ScoredHost, b: ScoredHost): number {
  return b.score - a.score || (a.host.name < b.host.name ? -1 : 1)
}

/** Why a host that could take it was not taken. */
export function lowerScore(other: ScoredHost, best: ScoredHost): string {
  return other.score === best.score
    ? `as good as ${best.host.name}, which comes first by name`
    : `score ${other.score} against ${best.score} of ${best.host.name}`
}

/** Instances of one group are spread: the label `group`, or the name without its last number (web-1, web-2). */
export function groupOf(instance: {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}): string {
  return instance.labels['group'] ?? instance.name.replace(/-?\d+$/, '')
}
