import { integerBelow, pick, seededRandom, unreachable, type Random } from '@nubo/base'

/** How a caller behaves: asks once, asks again where no answer came, or asks two servers at the same time. */
export type Manner = 'once' | 'retries' | 'twice'

/** One thing that happens. Everything is drawn beforehand, so that a plan is data: parts can be left out of it, and it can be run again. */
export type Action =
  | {
      readonly do: 'create'
      readonly name: string
      readonly subnet: 'small' | 'large'
      readonly recovery: 'local' | 'elsewhere'
      readonly containers: number
      readonly memoryMib: number
      readonly server: number
      readonly manner: Manner
    }
  | {
      readonly do: 'remove' | 'stop' | 'start' | 'restart'
      readonly name: string
      readonly server: number
      readonly manner: Manner
    }
  | { readonly do: 'end-container'; readonly host: number; readonly which: number }
  | {
      readonly do: 'kill-server'
      readonly server: number
      readonly points: number
      readonly downMs: number
    }
  | {
      readonly do: 'kill-agent'
      readonly host: number
      readonly points: number
      readonly downMs: number
    }
  | { readonly do: 'pause-server'; readonly server: number; readonly forMs: number }
  | { readonly do: 'pause-agent'; readonly host: number; readonly forMs: number }
  | { readonly do: 'break-connections'; readonly host: number }
  | {
      readonly do: 'cut'
      readonly hosts: readonly number[]
      /** Undefined: all servers. */
      readonly server: number | undefined
      readonly way: 'both' | 'to-servers' | 'to-hosts'
      readonly forMs: number
    }
  | { readonly do: 'cut-underlay'; readonly hosts: readonly number[]; readonly forMs: number }
  | { readonly do: 'power-off'; readonly hosts: readonly number[]; readonly offMs: number }
  | {
      readonly do: 'jump-clock'
      readonly of: 'host' | 'server'
      readonly which: number
      readonly byMs: number
    }
  | { readonly do: 'full-disk'; readonly host: number; readonly forMs: number }
  | { readonly do: 'slow-disk'; readonly host: number; readonly forMs: number }
  | {
      readonly do: 'slow-engine'
      readonly host: number
      readonly maxMs: number
      readonly forMs: number
    }
  | { readonly do: 'engine-down'; readonly host: number; readonly forMs: number }
  | { readonly do: 'database-restart'; readonly downMs: number }
  | {
      readonly do: 'database-cut'
      readonly server: number
      readonly how: 'reset' | 'silent'
      readonly forMs: number
    }
  | { readonly do: 'database-slow'; readonly maxMs: number; readonly forMs: number }
  | { readonly do: 'database-full'; readonly forMs: number }
  | { readonly do: 'operator-fences'; readonly host: number; readonly server: number }
  | {
      readonly do: 'power-control'
      readonly how: 'dead' | 'lies' | 'slow'
      readonly forMs: number
    }

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

/** All of one run. */
export interface Plan {
  readonly seed: number
  readonly hosts: number
  /** Few can be placed on one host, or many. */
  readonly hostMemoryMib: number
  /** So many sets the project may have; null: as many as it likes. */
  readonly instancesMax: number | null
  /** Whether hosts can be switched off through a management controller. */
  readonly hasPowerControl: boolean
  readonly steps: readonly Step[]
}

export const SERVERS = 2
export const RACKS = 2
const SET_NAMES = 25

export function rackOf(host: number): number {
  return host % RACKS
}

type Draw = (random: Random, hosts: number) => Action

const anyHost = integerBelow
const anyServer = (random: Random): number => integerBelow(random, SERVERS)
const upTo = (random: Random, maxMs: number): number => Math.round(random.fraction() * maxMs)
/** Most are short, a few long: as outages are. */
const outage = (random: Random): number =>
  random.fraction() < 0.7 ? upTo(random, 15_000) : upTo(random, 200_000)
/** Half of the time at once, else at one of the next points where the process touches the world. */
const points = (random: Random): number =>
  random.fraction() < 0.5 ? 0 : integerBelow(random, random.fraction() < 0.7 ? 12 : 200)

function manner(random: Random): Manner {
  const draw = random.fraction()
  return draw < 0.7 ? 'once' : draw < 0.9 ? 'retries' : 'twice'
}

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

function createAction(random: Random): Action {
  return {
    do: 'create',
    name: `set-${integerBelow(random, SET_NAMES)}`,
    subnet: random.fraction() < 0.5 ? 'small' : 'large',
    recovery: random.fraction() < 0.55 ? 'elsewhere' : 'local',
    containers: 1 + integerBelow(random, 3),
    memoryMib: random.fraction() < 0.8 ? 64 : 512,
    server: anyServer(random),
    manner: manner(random),
  }
}

const change =
  (verb: 'remove' | 'stop' | 'start' | 'restart'): Draw =>
  (random) => ({
    do: verb,
    name: `set-${integerBelow(random, SET_NAMES)}`,
    server: anyServer(random),
    manner: manner(random),
  })

const changes: readonly (readonly [number, Draw])[] = [
  [30, createAction],
  [14, change('remove')],
  [6, change('stop')],
  [6, change('start')],
  [4, change('restart')],
]

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
  ],
} as const satisfies Record<string, readonly (readonly [number, Draw])[]>

export type FaultFamily = keyof typeof families
// proof: the keys of the record above
export const faultFamilies = Object.keys(families) as readonly FaultFamily[]

/**
 * Pure: the plan of a seed. Not every seed has every kind of fault: a run with only a few of them goes further down
 * the paths that these open.
 */
export function drawPlan(seed: number, shape: Shape): Plan {
  const random = seededRandom(seed ^ 0x5eed)
  const chosen = shape.faults.filter(() => random.fraction() < 0.6)
  const draws = [
    ...changes,
    ...chosen.flatMap((family) => families[family] as readonly (readonly [number, Draw])[]),
  ]
  const total = draws.reduce((sum, [weight]) => sum + weight, 0)
  const hostMemoryMib = random.fraction() < 0.3 ? 512 : 4_096
  const hasPowerControl = random.fraction() < 0.5
  const instancesMax = random.fraction() < 0.3 ? 10 : null
  // Some go on for so long that every deadline in the product passes within a fault.
  const pace = random.fraction() < 0.2 ? 5 : 1
  const steps: Step[] = []
  let atMs = 0
  // Something to do harm to comes first.
  for (let count = 0; count < shape.steps; count++) {
    let draw = integerBelow(random, total)
    const [, make] = draws.find(([weight]) => (draw -= weight) < 0) ?? [0, createAction]
    const action = count < 6 ? createAction(random) : make(random, shape.hosts)
    // Mostly close together, now and then with time for things to take their course.
    atMs += pace * random.fraction() * (random.fraction() < 0.85 ? shape.gapMs : shape.gapMs * 12)
    steps.push({ atMs: Math.round(atMs), action })
  }
  return { seed, hosts: shape.hosts, hostMemoryMib, instancesMax, hasPowerControl, steps }
}

export function hostName(host: number): string {
  return `h${host + 1}`
}

export function serverName(server: number): string {
  return `s${server + 1}`
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
const named = (hosts: readonly number[]): string => hosts.map(hostName).join(', ')
const after = (count: number): string => (count === 0 ? '' : ` at its point ${count} from now`)

/** One line for a person. */
export function describe(action: Action): string {
  switch (action.do) {
    case 'create':
      return `create ${action.name} in ${action.subnet}, ${action.recovery}, ${action.memoryMib} MiB, through ${serverName(action.server)}, ${action.manner}`
    case 'remove':
    case 'stop':
    case 'start':
    case 'restart':
      return `${action.do} ${action.name} through ${serverName(action.server)}, ${action.manner}`
    case 'end-container':
      return `a container on ${hostName(action.host)} ends`
    case 'kill-server':
      return `${serverName(action.server)} is killed${after(action.points)}, back after ${seconds(action.downMs)}`
    case 'kill-agent':
      return `the agent of ${hostName(action.host)} is killed${after(action.points)}, back after ${seconds(action.downMs)}`
    case 'pause-server':
      return `${serverName(action.server)} stands still for ${seconds(action.forMs)}`
    case 'pause-agent':
      return `the agent of ${hostName(action.host)} stands still for ${seconds(action.forMs)}`
    case 'break-connections':
      return `connections of ${hostName(action.host)} break`
    case 'cut':
      return `${named(action.hosts)} cut from ${action.server === undefined ? 'all servers' : serverName(action.server)} (${action.way}) for ${seconds(action.forMs)}`
    case 'cut-underlay':
      return `the underlay of ${named(action.hosts)} is cut for ${seconds(action.forMs)}`
    case 'power-off':
      return `${named(action.hosts)} without power for ${seconds(action.offMs)}`
    case 'jump-clock':
      return `the wall clock of a ${action.of} jumps by ${seconds(action.byMs)}`
    case 'full-disk':
      return `the disk of ${hostName(action.host)} is full for ${seconds(action.forMs)}`
    case 'slow-disk':
      return `the disk of ${hostName(action.host)} is slow for ${seconds(action.forMs)}`
    case 'slow-engine':
      return `engine calls on ${hostName(action.host)} take up to ${seconds(action.maxMs)} for ${seconds(action.forMs)}`
    case 'engine-down':
      return `the engine of ${hostName(action.host)} does not answer for ${seconds(action.forMs)}`
    case 'database-restart':
      return `the database restarts, down for ${seconds(action.downMs)}`
    case 'database-cut':
      return `${serverName(action.server)} is cut from the database (${action.how}) for ${seconds(action.forMs)}`
    case 'database-slow':
      return `statements take up to ${action.maxMs} ms for ${seconds(action.forMs)}`
    case 'database-full':
      return `the disk of the database is full for ${seconds(action.forMs)}`
    case 'operator-fences':
      return `an operator says that ${hostName(action.host)} is off, if it is`
    case 'power-control':
      return `power control is ${action.how} for ${seconds(action.forMs)}`
    default:
      return unreachable(action)
  }
}
