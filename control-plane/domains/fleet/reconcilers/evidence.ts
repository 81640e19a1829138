import type { Clock } from '@nubo/base'
import { sleep } from '@nubo/base'
import type { HostRow } from '../../../world/index.ts'
import {
  neighboursOf,
  NEIGHBOURS_ASKED_MAX,
  signOf,
  type NeighbourSign,
  type NeighbourWord,
  type PowerSign,
} from '../fence.ts'
import type { NeighbourProbes, PowerControl, PowerReading } from '../needs.ts'

const PROBE_TIMEOUT_MS = 1_500
/** Between the two readings that have to agree before power counts as off. */
const POWER_READ_GAP_MS = 500

/** What was found out about a lost host in one round; both parts are of the same few seconds. */
export interface Evidence {
  readonly words: readonly NeighbourWord[]
  readonly neighbours: NeighbourSign
  readonly power: PowerSign
  readonly powerProblem: string | null
}

export interface EvidenceDeps {
  readonly probes: NeighbourProbes
  readonly power: PowerControl
  readonly clock: Clock
}

/** Asks neighbours and management controller side by side. Never throws; ends within a few seconds. */
export async function gatherEvidence(
  deps: EvidenceDeps,
  target: HostRow,
  hosts: Iterable<HostRow>,
): Promise<Evidence> {
  const candidates = target.probeAddress === null ? [] : neighboursOf(target, hosts)
  const [words, power] = await Promise.all([
    Promise.all(
      candidates.slice(0, NEIGHBOURS_ASKED_MAX).map((neighbour) => ask(deps, target, neighbour)),
    ),
    readPower(deps, target),
  ])
  return { words, neighbours: signOf(words, candidates.length), ...power }
}

async function ask(
  { probes }: EvidenceDeps,
  target: HostRow,
  neighbour: HostRow,
): Promise<NeighbourWord> {
  const nothing = { host: neighbour.name, lease: null, elsewhereRunning: null }
  const asked = { hostId: target.id, address: target.probeAddress ?? '' }
  const results = await probes.probe(neighbour.id, [asked], PROBE_TIMEOUT_MS).catch(() => undefined)
  const result = results?.find(({ hostId }) => hostId === target.id)
  if (result === undefined) return { ...nothing, answer: 'no-report' }
  if (result.answer === null) return { ...nothing, answer: 'silence' }
  const { lease, elsewhereRunning } = result.answer
  return { host: neighbour.name, answer: 'heard', lease, elsewhereRunning }
}

async function readPower(
  { power, clock }: EvidenceDeps,
  host: HostRow,
): Promise<{ power: PowerSign; powerProblem: string | null }> {
  if (host.power === null) return { power: 'none', powerProblem: null }
  const powered = { hostId: host.id, power: host.power }
  const first = await power.read(powered)
  if (first.state !== 'off') return signOfPower(first)
  await sleep(clock, POWER_READ_GAP_MS)
  const second = await power.read(powered)
  return second.state === 'on'
    ? {
        power: 'unknown',
        powerProblem: 'it says first that the machine is off and then that it is on',
      }
    : signOfPower(second)
}

function signOfPower(reading: PowerReading): { power: PowerSign; powerProblem: string | null } {
  return {
    power: reading.state,
    powerProblem: reading.state === 'unknown' ? reading.problem.slice(0, 200) : null,
  }
}
