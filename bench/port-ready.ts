/**
 * How long a port that is bound to an existing interface takes from the commit until a guest on another host gets
 * its first answer. The floor, in the same run and on the same switches: one OVSDB transaction that plugs the
 * device, where all flows lie ready on both sides.
 */
import { readFileSync } from 'node:fs'
import { openDatabase, silentLog, systemClock, type Database } from '@nubo/runtime'
import { FirstAnswer, wallMs } from './first-answer.ts'
import { HandSwitch } from './hand-switch.ts'
import { interleave, median, medianRatio, type Verdict } from './measure.ts'
import {
  NETWORK,
  ofProject,
  type Address,
  type Guest,
  type Stage,
  type StageHost,
} from './stage.ts'

const ROUNDS = 15
const ANSWER_TIMEOUT_MS = 10_000
const PING_PERIOD_MS = 1
/** Each commit of the control plane says its revision here. */
const FEED_CHANNEL = 'nubo_feed'
const HAND_GUESTS = {
  asking: { mac: '0a:00:00:00:01:01', address: '10.99.0.1', ofport: 1 },
  asked: { mac: '0a:00:00:00:01:02', address: '10.99.0.2', ofport: 2 },
}

export async function portReady(stage: Stage): Promise<Verdict[]> {
  const commits = await Commits.of(stage)
  const nubo = await nuboPorts(stage, commits)
  const floor = await handPorts(stage)
  try {
    const found = await interleave({ nubo: nubo.round, floor: floor.round }, { rounds: ROUNDS })
    const fromCall = nubo.fromCallMs.slice(-ROUNDS)
    return [
      {
        what: 'port ready: commit → first ping across hosts',
        unit: 'ms',
        value: median(found.nubo),
        goal: { atMost: 10 },
        rounds: found.nubo,
      },
      {
        what: 'port ready / floor',
        unit: '×',
        value: medianRatio(found.nubo, found.floor),
        rounds: found.nubo.map((value, round) => value / (found.floor[round] ?? Number.NaN)),
      },
      {
        what: '  floor: one OVSDB transaction, flows there',
        unit: 'ms',
        value: median(found.floor),
        rounds: found.floor,
      },
      {
        what: '  from the API call instead of the commit',
        unit: 'ms',
        value: median(fromCall),
        rounds: fromCall,
      },
    ]
  } finally {
    await nubo.close()
    await floor.close()
    await commits.close()
  }
}

/** When the control plane's database commits, told by its own notifications. */
class Commits {
  readonly #database: Database<Record<string, never>>
  #waiting: ((atMs: number) => void)[] = []

  private constructor(database: Database<Record<string, never>>) {
    this.#database = database
  }

  static async of(stage: Stage): Promise<Commits> {
    const config: unknown = JSON.parse(readFileSync(stage.lab.home.serverConfig('s1'), 'utf8'))
    if (!(config instanceof Object) || !('databaseUrl' in config))
      throw new Error('the configuration of a server has no databaseUrl')
    const database = openDatabase<Record<string, never>>({
      url: String(config.databaseUrl),
      clock: systemClock,
      log: silentLog,
    })
    const commits = new Commits(database)
    await database.listen(FEED_CHANNEL, () => {
      const atMs = wallMs()
      for (const resolve of commits.#waiting.splice(0)) resolve(atMs)
    })
    return commits
  }

  /** When the next one is told, in milliseconds since 1970. */
  next(): Promise<number> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async close(): Promise<void> {
    await this.#database.close()
  }
}

interface PortRounds {
  readonly round: () => Promise<number>
  readonly close: () => Promise<void>
}

async function nuboPorts(
  stage: Stage,
  commits: Commits,
): Promise<PortRounds & { readonly fromCallMs: readonly number[] }> {
  const [first, second] = stage.hosts
  const makePort = async (name: string, host: StageHost): Promise<Address & { guest: Guest }> => {
    const { mac, address } = await stage.tenant.portCreate({ body: { name, network: NETWORK } })
    return { guest: await stage.addGuest(host, { mac, address }), mac, address }
  }
  const bind = async (name: string, host: StageHost, guest: Guest): Promise<void> => {
    await stage.operator.portBind({
      params: { id: name },
      query: ofProject,
      body: { host: host.name, interfaceName: guest.hostInterface },
    })
  }
  const removePort = async (name: string, guest: Guest): Promise<void> => {
    await stage.operator.portUnbind({ params: { id: name }, query: ofProject })
    await stage.tenant.portRemove({ params: { id: name } })
    await stage.removeGuest(guest)
  }
  const asking = await makePort('asking', first)
  await bind('asking', first, asking.guest)
  const fromCallMs: number[] = []
  let count = 0
  const round = async (): Promise<number> => {
    count += 1
    const name = `asked-${count}`
    const asked = await makePort(name, second)
    await stage.introduce([asking, asked])
    const probe = await FirstAnswer.of({
      netns: `/run/netns/${asking.guest.namespace}`,
      address: asked.address,
      periodMs: PING_PERIOD_MS,
    })
    const committed = commits.next()
    const callMs = wallMs()
    const answered = probe.atMs(ANSWER_TIMEOUT_MS)
    await bind(name, second, asked.guest)
    const answeredMs = await answered
    fromCallMs.push(answeredMs - callMs)
    await removePort(name, asked.guest)
    return answeredMs - (await committed)
  }
  return { round, fromCallMs, close: () => removePort('asking', asking.guest) }
}

async function handPorts(stage: Stage): Promise<PortRounds> {
  const [first, second] = stage.hosts
  const { asking, asked } = HAND_GUESTS
  const near = await HandSwitch.on(first, second)
  const far = await HandSwitch.on(second, first)
  await near.forward(asking.ofport, [
    { mac: asking.mac, at: { ofport: asking.ofport } },
    { mac: asked.mac, at: { vtep: second.vtep } },
  ])
  await far.forward(asked.ofport, [
    { mac: asked.mac, at: { ofport: asked.ofport } },
    { mac: asking.mac, at: { vtep: first.vtep } },
  ])
  const askingGuest = await stage.addGuest(first, asking)
  await near.plug(askingGuest.hostInterface, asking.ofport)
  await near.plugged(askingGuest.hostInterface)
  const round = async (): Promise<number> => {
    const guest = await stage.addGuest(second, asked)
    await stage.introduce([
      { ...asking, guest: askingGuest },
      { ...asked, guest },
    ])
    const probe = await FirstAnswer.of({
      netns: `/run/netns/${askingGuest.namespace}`,
      address: asked.address,
      periodMs: PING_PERIOD_MS,
    })
    const startMs = wallMs()
    const answered = probe.atMs(ANSWER_TIMEOUT_MS)
    await far.plug(guest.hostInterface, asked.ofport)
    const tookMs = (await answered) - startMs
    await far.unplug(guest.hostInterface)
    await stage.removeGuest(guest)
    return tookMs
  }
  const close = async (): Promise<void> => {
    await near.close()
    await far.close()
    await stage.removeGuest(askingGuest)
  }
  return { round, close }
}
