import { integerBelow, pick, seededRandom, type Random } from '@nubo/base'
import { RACKS, SERVERS, type Action, type Draws } from './action.ts'
import { applyDraws, burst, changeDraws, createAction, operatorDraws } from './draw-changes.ts'

export interface Step {
  readonly atMs: number
  readonly action: Action
}

export interface Shape {
  readonly steps: number
  readonly hosts: number
  /** The mean time between two steps. */
  readonly gapMs: number
  /** Families of faults that may be drawn. */
  readonly faults: readonly FaultFamily[]
}

export interface Quota {
  readonly instances: number | null
  readonly memoryMib: number | null
  readonly addresses: number | null
}

/** All of one run. */
export interface Plan {
  readonly seed: number
  readonly hosts: number
  /** Few can be placed on one host, or many. */
  readonly hostMemoryMib: number
  /** What the project may have; null: as much as it likes. */
  readonly quota: Quota
  /** Whether hosts can be switched off through a management controller. */
  readonly hasPowerControl: boolean
  /** Which host is drained once everything has come to rest; null: none. */
  readonly lastDrain: number | null
  readonly steps: readonly Step[]
}

export function rackOf(host: number): number {
  return host % RACKS
}

const anyHost = integerBelow
const anyServer = (random: Random): number => integerBelow(random, SERVERS)
const upTo = (random: Random, maxMs: number): number => Math.round(random.fraction() * maxMs)
/** Most are short, a few long, as outages are; some last until every deadline has passed. */
function outage(random: Random): number {
  const draw = random.fraction()
  if (draw < 0.65) return upTo(random, 15_000)
  return draw < 0.9 ? upTo(random, 200_000) : 130_000 + upTo(random, 170_000)
}
/** Half of the time at once, else at one of the next points where the process touches the world. */
const points = (random: Random): number =>
  random.fraction() < 0.5 ? 0 : integerBelow(random, random.fraction() < 0.7 ? 12 : 200)

function someHosts(random: Random, hosts: number): number[] {
  const draw = random.fraction()
  const all = Array.from({ length: hosts }, (_none, index) => index)
  if (draw < 0.65) return [anyHost(random, hosts)]
  if (draw < 0.9) {
    const rack = integerBelow(random, RACKS)
    return all.filter((host) => rackOf(host) === rack)
  }
  return all
}

/**
 * One server and one host behind a switch that has lost its uplink: they see each other, and neither the database nor the
 * rest. Whoever can still talk to somebody is tempted to go on.
 */
function island(random: Random, hosts: number): readonly Action[] {
  const inside = anyServer(random)
  const outside = (inside + 1) % SERVERS
  const host = anyHost(random, hosts)
  const others = Array.from({ length: hosts }, (_none, at) => at).filter((at) => at !== host)
  const forMs = 20_000 + upTo(random, 160_000)
  const way = 'both' as const
  return [
    { do: 'cut', hosts: others, server: inside, way, forMs },
    { do: 'cut', hosts: [host], server: outside, way, forMs },
    { do: 'cut-underlay', hosts: [host], forMs },
    {
      do: 'database-cut',
      server: inside,
      how: random.fraction() < 0.5 ? 'reset' : 'silent',
      forMs,
    },
  ]
}

/** No engine answers for so long that whatever was asked of them comes to its deadline: a bad release of it, say. */
function standstill(random: Random, hosts: number): readonly Action[] {
  const forMs = 140_000 + upTo(random, 80_000)
  const stopped = Array.from({ length: hosts }, (_none, host): Action => ({
    do: 'engine-down',
    host,
    forMs,
  }))
  return [...stopped, ...burst(random, hosts)]
}

/** Many ask at once while the database is slow, so that servers know of each other's deeds late. */
function rush(random: Random, hosts: number): readonly Action[] {
  const maxMs = 50 + upTo(random, 250)
  return [{ do: 'database-slow', maxMs, forMs: 20_000 }, ...burst(random, hosts)]
}

/** A host that is alive is cut from the servers while its controller says that it is off. */
function lieOfOne(random: Random, hosts: number): readonly Action[] {
  const forMs = 20_000 + upTo(random, 100_000)
  return [
    { do: 'power-control', how: 'lies', forMs },
    { do: 'cut', hosts: [anyHost(random, hosts)], server: undefined, way: 'both', forMs },
  ]
}

/** Families can be chosen one by one: `--faults power,partition`. Numbers are weights, in comparison with each other. */
const families = {
  containers: [
    [
      5,
      (random, hosts) => ({
        do: 'end-container',
        host: anyHost(random, hosts),
        which: integerBelow(random, 64),
      }),
    ],
  ],
  crash: [
    [
      6,
      (random, hosts) => ({
        do: 'kill-agent',
        host: anyHost(random, hosts),
        points: points(random),
        downMs: random.fraction() < 0.8 ? upTo(random, 5_000) : upTo(random, 90_000),
      }),
    ],
    [
      6,
      (random) => ({
        do: 'kill-server',
        server: anyServer(random),
        points: points(random),
        downMs: upTo(random, 10_000),
      }),
    ],
  ],
  pause: [
    [
      4,
      (random, hosts) => ({
        do: 'pause-agent',
        host: anyHost(random, hosts),
        forMs: upTo(random, 70_000),
      }),
    ],
    [
      3,
      (random) => ({ do: 'pause-server', server: anyServer(random), forMs: upTo(random, 40_000) }),
    ],
  ],
  connection: [[6, (random, hosts) => ({ do: 'break-connections', host: anyHost(random, hosts) })]],
  partition: [
    [
      7,
      (random, hosts) => ({
        do: 'cut',
        hosts: someHosts(random, hosts),
        server: random.fraction() < 0.4 ? anyServer(random) : undefined,
        way: pick(random, ['both', 'to-servers', 'to-hosts'] as const) ?? 'both',
        forMs: outage(random),
      }),
    ],
    [
      4,
      (random, hosts) => ({
        do: 'cut-underlay',
        hosts: someHosts(random, hosts),
        forMs: outage(random),
      }),
    ],
    [3, island],
  ],
  power: [
    [
      5,
      (random, hosts) => ({
        do: 'power-off',
        hosts: someHosts(random, hosts),
        offMs: outage(random),
      }),
    ],
  ],
  clock: [
    [
      3,
      (random, hosts) => ({
        do: 'jump-clock',
        of: random.fraction() < 0.5 ? 'host' : 'server',
        which: anyHost(random, hosts),
        byMs: (random.fraction() - 0.5) * (random.fraction() < 0.5 ? 10_000 : 7_200_000),
      }),
    ],
  ],
  disk: [
    [
      2,
      (random, hosts) => ({ do: 'full-disk', host: anyHost(random, hosts), forMs: outage(random) }),
    ],
    [
      2,
      (random, hosts) => ({ do: 'slow-disk', host: anyHost(random, hosts), forMs: outage(random) }),
    ],
  ],
  engine: [
    [
      3,
      (random, hosts) => ({
        do: 'slow-engine',
        host: anyHost(random, hosts),
        maxMs: upTo(random, 20_000),
        forMs: outage(random),
      }),
    ],
    [
      2,
      (random, hosts) => ({
        do: 'engine-down',
        host: anyHost(random, hosts),
        forMs: outage(random),
      }),
    ],
    [1, standstill],
  ],
  database: [
    [
      2,
      (random) => ({
        do: 'database-restart',
        downMs: random.fraction() < 0.8 ? upTo(random, 3_000) : upTo(random, 45_000),
      }),
    ],
    [
      3,
      (random) => ({
        do: 'database-cut',
        server: anyServer(random),
        how: random.fraction() < 0.5 ? 'reset' : 'silent',
        forMs: outage(random),
      }),
    ],
    [
      1,
      (random) => ({ do: 'database-slow', maxMs: upTo(random, 300), forMs: upTo(random, 20_000) }),
    ],
    [1, (random) => ({ do: 'database-full', forMs: upTo(random, 20_000) })],
    [2, rush],
  ],
  bmc: [
    [
      2,
      (random, hosts) => ({
        do: 'operator-fences',
        host: anyHost(random, hosts),
        server: anyServer(random),
      }),
    ],
    [
      3,
      (random) => ({
        do: 'power-control',
        how: pick(random, ['dead', 'lies', 'slow'] as const) ?? 'dead',
        forMs: outage(random),
      }),
    ],
    [2, lieOfOne],
  ],
  drain: operatorDraws,
  apply: applyDraws,
} as const satisfies Record<string, Draws>

export type FaultFamily = keyof typeof families
// proof: the keys of the record above
export const faultFamilies = Object.keys(families) as readonly FaultFamily[]

/** Who names no more than so many families wants all of them in each seed. */
const FEW_FAMILIES = 3

/**
 * Pure: the plan of a seed. Not every seed has every kind of fault: a run with only a few of them goes further down
 * the paths that these open.
 */
export function drawPlan(seed: number, shape: Shape): Plan {
  const random = seededRandom(seed ^ 0x5eed)
  const areFew = shape.faults.length <= FEW_FAMILIES
  const chosen = shape.faults.filter(() => random.fraction() < 0.6 || areFew)
  const draws = [...changeDraws, ...chosen.flatMap((family) => families[family] as Draws)]
  const total = draws.reduce((sum, [weight]) => sum + weight, 0)
  const hostMemoryMib = random.fraction() < 0.3 ? 512 : 4_096
  const hasPowerControl = random.fraction() < 0.5
  const quota = {
    instances: random.fraction() < 0.3 ? 10 : null,
    memoryMib: random.fraction() < 0.15 ? 1_024 : null,
    addresses: random.fraction() < 0.15 ? 8 : null,
  }
  // Some go on for so long that every deadline in the product passes within a fault.
  const pace = random.fraction() < 0.2 ? 5 : 1
  const steps: Step[] = []
  let atMs = 0
  // Something to do harm to comes first.
  for (let count = 0; count < shape.steps; count++) {
    let draw = integerBelow(random, total)
    const [, make] = draws.find(([weight]) => (draw -= weight) < 0) ?? [0, createAction]
    const drawn = count < 6 ? createAction(random, shape.hosts) : make(random, shape.hosts)
    // Mostly close together, now and then with time for things to take their course.
    atMs += pace * random.fraction() * (random.fraction() < 0.85 ? shape.gapMs : shape.gapMs * 12)
    for (const action of [drawn].flat()) steps.push({ atMs: Math.round(atMs), action })
  }
  const lastDrain =
    chosen.includes('drain') && random.fraction() < 0.4 ? integerBelow(random, shape.hosts) : null
  const { hosts } = shape
  return { seed, hosts, hostMemoryMib, quota, hasPowerControl, lastDrain, steps }
}

export function hostName(host: number): string {
  return `h${host + 1}`
}

export function serverName(server: number): string {
  return `s${server + 1}`
}
