import { isPlatformError, pick, integerBelow } from '@nubo/base'
import { checkAlways, checkAtRest } from './invariants.ts'
import { SimulatedRegion } from './simulated-region.ts'

/** What may happen next, and how often in comparison. */
const steps: readonly {
  readonly weight: number
  readonly act: (region: SimulatedRegion, history: string[]) => Promise<void>
}[] = [
  { weight: 30, act: createSet },
  { weight: 14, act: removeSet },
  { weight: 6, act: (region, history) => changeSet(region, history, 'setStop') },
  { weight: 6, act: (region, history) => changeSet(region, history, 'setStart') },
  { weight: 4, act: (region, history) => changeSet(region, history, 'setRestart') },
  { weight: 6, act: crashAgent },
  { weight: 6, act: cutSession },
  { weight: 3, act: partition },
  { weight: 3, act: powerCycle },
  { weight: 3, act: killServer },
  { weight: 5, act: endContainer },
]

/** Runs one seed: faults and changes, then quiet, then the checks. Throws with the history that led there. */
export async function runScenario(
  seed: number,
  options: { steps: number; hosts: number },
): Promise<{ history: string[] }> {
  const history: string[] = []
  const region = await SimulatedRegion.start(seed, { hosts: options.hosts })
  try {
    await prepare(region)
    const total = steps.reduce((sum, step) => sum + step.weight, 0)
    for (let count = 0; count < options.steps; count++) {
      let draw = integerBelow(region.random, total)
      const step = steps.find(({ weight }) => (draw -= weight) < 0)
      await step?.act(region, history)
      await region.clock.advance(region.random.fraction() * 400)
      checkAlways(region)
    }
    await heal(region, history)
    await checkAtRest(region)
    return { history }
  } catch (cause) {
    throw new Error(`seed ${seed} fails after:\n  ${history.join('\n  ')}`, { cause })
  } finally {
    await region.stop()
  }
}

async function prepare(region: SimulatedRegion): Promise<void> {
  await region.call('networkCreate', { body: { name: 'net', cidr: '10.1.0.0/16' } })
  await region.call('subnetCreate', {
    body: { network: 'net', name: 'small', cidr: '10.1.1.0/28' },
  })
  await region.call('subnetCreate', {
    body: { network: 'net', name: 'large', cidr: '10.1.2.0/24' },
  })
  await region.clock.advance(3_000)
}

/** Refusals are answers too: the caller raced with a removal, took a name, or found no address. */
async function attempt(
  history: string[],
  text: string,
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work()
    history.push(text)
  } catch (error) {
    if (!isPlatformError(error)) throw error
    history.push(`${text}: ${error.code}`)
  }
}

async function createSet(region: SimulatedRegion, history: string[]): Promise<void> {
  const name = `set-${integerBelow(region.random, 25)}`
  const subnet = region.random.fraction() < 0.5 ? 'small' : 'large'
  const recovery = region.random.fraction() < 0.3 ? 'elsewhere' : 'local'
  const containers = Array.from({ length: 1 + integerBelow(region.random, 3) }, (_none, index) => ({
    name: `c${index}`,
    index,
    image: 'web',
  }))
  const server = pick(
    region.random,
    region.servers.filter((one) => one.isUp),
  )
  await attempt(history, `create ${name} in ${subnet}`, () =>
    region.call(
      'setCreate',
      {
        body: {
          name,
          network: 'net',
          subnet,
          recovery,
          containers,
          cpuMillis: 200,
          memoryBytes: 64 * 2 ** 20,
        },
      },
      server,
    ),
  )
}

async function anySet(region: SimulatedRegion): Promise<string | undefined> {
  const { items } = await region.call('setList')
  return pick(region.random, items)?.name
}

async function removeSet(region: SimulatedRegion, history: string[]): Promise<void> {
  const name = await anySet(region)
  if (name !== undefined)
    await attempt(history, `remove ${name}`, () =>
      region.call('setRemove', { params: { id: name } }),
    )
}

async function changeSet(
  region: SimulatedRegion,
  history: string[],
  verb: 'setStop' | 'setStart' | 'setRestart',
): Promise<void> {
  const name = await anySet(region)
  if (name !== undefined)
    await attempt(history, `${verb} ${name}`, () => region.call(verb, { params: { id: name } }))
}

function anyHost(region: SimulatedRegion): string {
  return pick(region.random, [...region.hosts.keys()]) ?? ''
}

async function crashAgent(region: SimulatedRegion, history: string[]): Promise<void> {
  const name = anyHost(region)
  const host = region.hosts.get(name)
  if (host?.isRunning !== true) return
  history.push(`agent of ${name} crashes`)
  await waitFor(region, host.crash())
  await region.clock.advance(region.random.fraction() * 3_000)
  host.start()
}

function cutSession(region: SimulatedRegion, history: string[]): Promise<void> {
  const name = anyHost(region)
  history.push(`connection of ${name} is cut`)
  region.cutSession(name)
  return Promise.resolve()
}

function partition(region: SimulatedRegion, history: string[]): Promise<void> {
  const name = anyHost(region)
  const forMs = region.random.fraction() * 20_000
  history.push(`${name} is cut off for ${Math.round(forMs)} ms`)
  region.cut(name)
  region.clock.after(forMs, () => region.heal(name))
  return Promise.resolve()
}

async function powerCycle(region: SimulatedRegion, history: string[]): Promise<void> {
  const name = anyHost(region)
  const host = region.hosts.get(name)
  if (host?.isRunning !== true) return
  history.push(`${name} loses power`)
  await waitFor(region, host.powerOff())
  await region.clock.advance(region.random.fraction() * 15_000)
  host.powerOn()
}

async function killServer(region: SimulatedRegion, history: string[]): Promise<void> {
  const server = pick(region.random, region.servers)
  if (server === undefined || region.servers.some((one) => !one.isUp)) return
  history.push(`${server.name} is killed`)
  region.killServer(server)
  await region.clock.advance(region.random.fraction() * 5_000)
  await region.startServer(server)
}

function endContainer(region: SimulatedRegion, history: string[]): Promise<void> {
  const name = anyHost(region)
  const host = region.hosts.get(name)
  const [setId, set] = pick(region.random, [...(host?.setHost.sets ?? [])]) ?? []
  const container = pick(region.random, [...(set?.containers.keys() ?? [])])
  if (host?.isRunning !== true || setId === undefined || container === undefined)
    return Promise.resolve()
  history.push(`a container of ${set?.spec.name} on ${name} ends`)
  host.setDriver.endContainer(setId, container, { exitCode: 1 })
  return Promise.resolve()
}

/** Faults stop; everything gets the time that the slowest rule needs (operations end by their deadline of 120 s). */
async function heal(region: SimulatedRegion, history: string[]): Promise<void> {
  history.push('faults stop')
  for (const [name, host] of region.hosts) {
    region.heal(name)
    host.start()
  }
  for (const server of region.servers) await region.startServer(server)
  await region.clock.advance(150_000)
}

async function waitFor(region: SimulatedRegion, work: Promise<void>): Promise<void> {
  let isDone = false
  void work.finally(() => {
    isDone = true
  })
  await region.clock.advanceUntil(() => isDone, 60_000)
}
