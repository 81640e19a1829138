import { integerBelow, pick, type Random } from '@nubo/base'
import {
  MANIFEST_NAMES,
  SERVERS,
  type Action,
  type Asking,
  type Draw,
  type Draws,
  type ManifestDraw,
  type Manner,
  type SetShape,
} from './action.ts'

const SET_NAMES = 25
const PRIORITIES = [100, 100, 100, 500] as const

function manner(random: Random): Manner {
  const draw = random.fraction()
  return draw < 0.7 ? 'once' : draw < 0.9 ? 'retries' : 'twice'
}

function asking(random: Random): Asking {
  return { server: integerBelow(random, SERVERS), manner: manner(random) }
}

const setName = (random: Random): string => `set-${integerBelow(random, SET_NAMES)}`
const appliedName = (random: Random): string =>
  pick(random, [...MANIFEST_NAMES.shop, ...MANIFEST_NAMES.depot]) ?? 'app-0'

function setShape(random: Random, hosts: number): SetShape {
  return {
    recovery: random.fraction() < 0.55 ? 'elsewhere' : 'local',
    containers: 1 + integerBelow(random, 3),
    image: random.fraction() < 0.6 ? 'web' : 'web-2',
    memoryMib: random.fraction() < 0.8 ? 64 : 512,
    priority: pick(random, PRIORITIES) ?? 100,
    pinnedTo: random.fraction() < 0.06 ? integerBelow(random, hosts) : undefined,
  }
}

const subnet = (random: Random): 'small' | 'large' => (random.fraction() < 0.5 ? 'small' : 'large')

export function createAction(random: Random, hosts: number): Action {
  return {
    do: 'create',
    name: setName(random),
    subnet: subnet(random),
    ...setShape(random, hosts),
    ...asking(random),
  }
}

const change =
  (verb: 'remove' | 'stop' | 'start' | 'restart', nameOf = setName): Draw =>
  (random) => ({ do: verb, name: nameOf(random), ...asking(random) })

const update =
  (nameOf = setName): Draw =>
  (random, hosts) => ({
    do: 'update',
    name: nameOf(random),
    isChecked: random.fraction() < 0.5,
    ...setShape(random, hosts),
    ...asking(random),
  })

const BURST_MIN = 3
const BURST_MORE = 6

/** Several at the same moment, through all servers, which then decide without knowing of each other. */
export function burst(random: Random, hosts: number): readonly Action[] {
  const memoryMib = random.fraction() < 0.5 ? 64 : 512
  return Array.from({ length: BURST_MIN + integerBelow(random, BURST_MORE) }, (_none, at) => ({
    ...createAction(random, hosts),
    memoryMib,
    pinnedTo: undefined,
    server: at % SERVERS,
  }))
}

/** Numbers are weights, in comparison with each other and with those of the faults. */
export const changeDraws: Draws = [
  [30, createAction],
  [12, change('remove')],
  [6, change('stop')],
  [6, change('start')],
  [4, change('restart')],
  [3, burst],
  [10, update()],
  [
    4,
    (random, hosts) => ({
      do: 'replace',
      name: setName(random),
      subnet: subnet(random),
      waits: random.fraction() < 0.7,
      ...setShape(random, hosts),
      ...asking(random),
    }),
  ],
]

const operate =
  (verb: 'drain' | 'maintenance' | 'end-maintenance' | 'cordon' | 'uncordon'): Draw =>
  (random, hosts) => ({ do: verb, host: integerBelow(random, hosts), ...asking(random) })

export const operatorDraws: Draws = [
  [5, operate('drain')],
  [3, operate('maintenance')],
  [4, operate('end-maintenance')],
  [1, operate('cordon')],
  [5, operate('uncordon')],
  [2, (random) => ({ do: 'cancel', which: integerBelow(random, 64), ...asking(random) })],
]

function manifestDraw(random: Random, hosts: number): ManifestDraw {
  const name = random.fraction() < 0.7 ? 'shop' : 'depot'
  const subnets = random.fraction() < 0.1 ? 1 : 2
  return {
    name,
    isEmpty: random.fraction() < 0.08,
    subnets,
    sets: MANIFEST_NAMES[name]
      .map((set, number) => ({ set, number }))
      .filter(() => random.fraction() < 0.6)
      .map(({ set, number }) => ({
        name: set,
        // Mostly the same in each manifest, since a set is created anew in another subnet.
        subnet: random.fraction() < 0.85 ? number % subnets : integerBelow(random, subnets),
        hasPort: random.fraction() < 0.85 ? number % 3 === 0 : random.fraction() < 0.5,
        isAfter: random.fraction() < 0.2,
        ...setShape(random, hosts),
      })),
  }
}

export const applyDraws: Draws = [
  [
    14,
    (random, hosts) => ({
      do: 'apply',
      manifest: manifestDraw(random, hosts),
      prune: random.fraction() < 0.4,
      recreate: random.fraction() < 0.8,
      isChecked: random.fraction() < 0.4,
      ...asking(random),
    }),
  ],
  [1, change('remove', appliedName)],
  [1, change('stop', appliedName)],
  [1, update(appliedName)],
  [1, (random) => ({ do: 'cancel', which: integerBelow(random, 64), ...asking(random) })],
]
