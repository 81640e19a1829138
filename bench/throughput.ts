/**
 * TCP between sets, on one host and across hosts, compared with guests on a bridge of the same switch that is
 * configured by hand with nothing but the flows they need. Links, offload settings and MTU are the same.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { DIE_WITH_US } from '@nubo/lab'
import { start, type RunningProgram } from '@nubo/runtime'
import { HandSwitch } from './hand-switch.ts'
import { interleave, median, medianRatio, type Verdict } from './measure.ts'
import { runIn, type Stage } from './stage.ts'

const ROUNDS = 7
const SECONDS = 2
const RUN_TIMEOUT_MS = 30_000
const SERVER_START_MS = 300
const HAND_GUESTS = [
  { mac: '0a:00:00:00:02:01', address: '10.98.0.1', ofport: 11 },
  { mac: '0a:00:00:00:02:02', address: '10.98.0.2', ofport: 12 },
  { mac: '0a:00:00:00:02:03', address: '10.98.0.3', ofport: 13 },
] as const

/** A network namespace, by path, with its address. */
interface Place {
  readonly netns: string
  readonly address: string
}

/** The first two are on one host, the third is on the other. */
interface Places {
  readonly near: Place
  readonly sameHost: Place
  readonly otherHost: Place
  readonly close: () => Promise<void>
}

export async function throughput(stage: Stage): Promise<Verdict[]> {
  const sets = await setPlaces(stage)
  const hand = await handPlaces(stage)
  const servers: RunningProgram[] = []
  try {
    for (const { netns } of [sets.sameHost, sets.otherHost, hand.sameHost, hand.otherHost])
      servers.push(start({ argv: [...DIE_WITH_US, 'iperf3', '-s'], netns }))
    await sleep(SERVER_START_MS)
    const found = await interleave(
      {
        sameNubo: () => gigabits(sets.near, sets.sameHost),
        sameHand: () => gigabits(hand.near, hand.sameHost),
        acrossNubo: () => gigabits(sets.near, sets.otherHost),
        acrossHand: () => gigabits(hand.near, hand.otherHost),
      },
      { rounds: ROUNDS },
    )
    return [
      ...verdictsOf('same host', found.sameNubo, found.sameHand),
      ...verdictsOf('across hosts', found.acrossNubo, found.acrossHand),
    ]
  } finally {
    for (const server of servers) await server.stop()
    await sets.close()
    await hand.close()
  }
}

function verdictsOf(where: string, nubo: readonly number[], hand: readonly number[]): Verdict[] {
  return [
    {
      what: `TCP between sets, ${where} / switch by hand`,
      unit: '×',
      value: medianRatio(nubo, hand),
      goal: { atLeast: 0.95 },
      rounds: nubo.map((value, round) => value / (hand[round] ?? Number.NaN)),
    },
    { what: `  TCP between sets, ${where}`, unit: 'Gb/s', value: median(nubo), rounds: nubo },
    { what: '  peer: switch by hand', unit: 'Gb/s', value: median(hand), rounds: hand },
  ]
}

async function gigabits(from: Place, to: Place): Promise<number> {
  const argv = ['iperf3', '-c', to.address, '-t', String(SECONDS), '-J'] as const
  const reply: unknown = JSON.parse(await runIn(from.netns, argv, RUN_TIMEOUT_MS))
  // proof: iperf3 -J prints this, else it ends with an error; a missing number fails below
  const { end } = reply as { end?: { sum_received?: { bits_per_second?: number } } }
  const bits = end?.sum_received?.bits_per_second
  if (bits === undefined) throw new Error('iperf3 told no result')
  return bits / 1e9
}

async function setPlaces(stage: Stage): Promise<Places> {
  const [first, second] = stage.hosts
  const place = async (name: string, host: typeof first): Promise<Place> => {
    const set = await stage.runSet({ name, host })
    if (set.address === null) throw new Error(`set ${name} has no address`)
    return { netns: await stage.namespaceOfSet(host, set), address: set.address }
  }
  return {
    near: await place('tcp-near', first),
    sameHost: await place('tcp-same', first),
    otherHost: await place('tcp-other', second),
    close: async () => {
      for (const name of ['tcp-near', 'tcp-same', 'tcp-other']) await stage.removeSet(name)
    },
  }
}

async function handPlaces(stage: Stage): Promise<Places> {
  const [first, second] = stage.hosts
  const here = await HandSwitch.on(first, second)
  const there = await HandSwitch.on(second, first)
  const [near, same, other] = HAND_GUESTS
  const guests = [
    await stage.addGuest(first, near),
    await stage.addGuest(first, same),
    await stage.addGuest(second, other),
  ] as const
  const [nearGuest, sameGuest, otherGuest] = guests
  await here.plug(nearGuest.hostInterface, near.ofport)
  await here.plug(sameGuest.hostInterface, same.ofport)
  await there.plug(otherGuest.hostInterface, other.ofport)
  const onFirst = [near, same].map(({ mac, ofport }) => ({ mac, at: { ofport } }))
  for (const { ofport } of [near, same])
    await here.forward(ofport, [...onFirst, { mac: other.mac, at: { vtep: second.vtep } }])
  await there.forward(other.ofport, [
    { mac: other.mac, at: { ofport: other.ofport } },
    ...[near, same].map(({ mac }) => ({ mac, at: { vtep: first.vtep } })),
  ])
  for (const { hostInterface } of [nearGuest, sameGuest]) await here.plugged(hostInterface)
  await there.plugged(otherGuest.hostInterface)
  await stage.introduce([
    { ...near, guest: nearGuest },
    { ...same, guest: sameGuest },
    { ...other, guest: otherGuest },
  ])
  const placeOf = (index: 0 | 1 | 2): Place => ({
    netns: `/run/netns/${guests[index].namespace}`,
    address: HAND_GUESTS[index].address,
  })
  return {
    near: placeOf(0),
    sameHost: placeOf(1),
    otherHost: placeOf(2),
    close: async () => {
      await here.close()
      await there.close()
      for (const guest of guests) await stage.removeGuest(guest)
    },
  }
}
