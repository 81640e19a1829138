/**
 * How long after a host lost its power the sets that ran there serve from other hosts: once with a management controller
 * that can be asked, once without, when only the end of its lease proves that it stopped. Real engines, three hosts; what
 * serves is seen by a set on a host that stays.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '@nubo/client'
import type { Host, SetView } from '@nubo/contracts'
import { createLab, demonstrate, type Lab } from '@nubo/lab'
import { quantile, type Verdict } from './measure.ts'
import { makeHomeFolder } from './stage.ts'

const SETS = 4
const POWER_ROUNDS = 3
const LEASE_ROUNDS = 2
const POLL_MS = 50
const ROUND_TIMEOUT_MS = 120_000
const WITNESS = 'witness'
const WITNESS_HOST = 'h2'

interface Round {
  /** Seconds after the plug was pulled, the last set counted. */
  readonly unreachable: number
  readonly fenced: number
  readonly running: number
  readonly serving: number
}

export async function failOver(signal: AbortSignal): Promise<Verdict[]> {
  const folder = makeHomeFolder()
  const lab = createLab({ home: join(folder, 'c') })
  try {
    await lab.up({ hosts: 3 })
    const client = lab.client()
    await demonstrate(client)
    // Only two hosts take what is measured, so that each round has all of it on the one that dies.
    await runSet(client, { name: WITNESS, host: WITNESS_HOST })
    await client.hostCordon({ params: { id: WITNESS_HOST } })
    for (let n = 1; n <= SETS; n += 1) await runSet(client, { name: `moves-${n}` })
    const byPower = await rounds({ lab, client, count: POWER_ROUNDS, signal })
    for (const name of ['h1', 'h3']) await client.hostPowerClear({ params: { id: name } })
    const byLease = await rounds({ lab, client, count: LEASE_ROUNDS, signal })
    return [
      ...verdicts('host power-off → its sets serve elsewhere, power verified', byPower, 30),
      ...verdicts('host power-off → its sets serve elsewhere, by lease', byLease, 60),
    ]
  } finally {
    await lab.down({ purge: true })
    rmSync(folder, { recursive: true, force: true })
  }
}

function verdicts(what: string, all: readonly Round[], atMost: number): Verdict[] {
  const of = (part: keyof Round): number[] => all.map((round) => round[part])
  const stages = ['unreachable', 'fenced', 'running'] as const
  const serving = of('serving')
  return [
    {
      what: `${what}, p95`,
      unit: 's',
      value: quantile(serving, 0.95),
      goal: { atMost },
      rounds: serving,
    },
    ...stages.map((stage): Verdict => ({
      what: `  of that: ${stage} after`,
      unit: 's',
      value: quantile(of(stage), 0.95),
      rounds: of(stage),
    })),
  ]
}

interface Rounds {
  readonly lab: Lab
  readonly client: Client
  readonly count: number
  readonly signal: AbortSignal
}

async function rounds({ lab, client, count, signal }: Rounds): Promise<Round[]> {
  const all: Round[] = []
  for (let at = 0; at < count; at += 1) {
    const sets = await moving(client)
    const victim = sets[0]?.host ?? 'h3'
    const lost = sets.filter(({ host }) => host === victim)
    all.push(await round({ lab, client, victim, lost, signal }))
    await lab.powerOn(victim)
    await until(signal, async () => (await showHost(client, victim)).state === 'ready')
  }
  return all
}

async function round(asked: {
  lab: Lab
  client: Client
  victim: string
  lost: readonly SetView[]
  signal: AbortSignal
}): Promise<Round> {
  const { lab, client, victim, lost, signal } = asked
  const startMs = performance.now()
  const after = async (isSo: () => Promise<boolean>): Promise<number> => {
    await until(signal, isSo)
    return (performance.now() - startMs) / 1_000
  }
  const off = lab.powerOff(victim)
  const unreachable = await after(async () => (await showHost(client, victim)).state !== 'ready')
  const fenced = await after(async () => (await showHost(client, victim)).state === 'fenced')
  const running = await after(async () => {
    const now = await Promise.all(lost.map(({ id }) => client.setShow({ params: { id } })))
    return now.every(({ state, host }) => state === 'running' && host !== victim)
  })
  let serving = running
  for (const { address } of lost) serving = await after(() => serves(client, address))
  await off
  return { unreachable, fenced, running, serving }
}

async function moving(client: Client): Promise<SetView[]> {
  const sets = await client.listAll('setList')
  return sets.filter(({ name }) => name.startsWith('moves-'))
}

function showHost(client: Client, id: string): Promise<Host> {
  return client.hostShow({ params: { id } })
}

async function serves(client: Client, address: string): Promise<boolean> {
  const ticket = await client.setExec({
    params: { id: WITNESS },
    body: { command: ['fetch', address] },
  })
  const stream = await client.openStream(ticket, { signal: AbortSignal.timeout(10_000) })
  for await (const _chunk of stream.output) continue
  return (await stream.ended).exitCode === 0
}

async function runSet(client: Client, asked: { name: string; host?: string }): Promise<void> {
  const operation = await client.setCreate({
    body: {
      name: asked.name,
      network: 'shop',
      subnet: 'shop-web',
      containers: [
        {
          name: 'main',
          image: 'busybox',
          command: ['httpd', '-f', '-p', '80', '-h', '/www'],
          stopTimeoutMs: 1_000,
        },
      ],
      cpuMillis: 100,
      memoryBytes: 32 * 2 ** 20,
      recovery: 'elsewhere',
      ...(asked.host === undefined ? {} : { placement: { host: asked.host } }),
    },
  })
  const ended = await client.waitOperation(operation.id, { signal: AbortSignal.timeout(60_000) })
  if (ended.state !== 'done')
    throw new Error(`set ${asked.name} ended ${ended.state}: ${JSON.stringify(ended.reason)}`)
}

async function until(signal: AbortSignal, isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + ROUND_TIMEOUT_MS
  while (!(await isSo())) {
    signal.throwIfAborted()
    if (performance.now() > endMs) throw new Error('a round did not end in time')
    await sleep(POLL_MS)
  }
}
