import { unreachable } from '@nubo/base'
import type { Host, HostFence } from '@nubo/contracts'
import { leaseProvenEndedAfterMs } from './lease.ts'

/**
 * When a host that was lost counts as stopped. Pure: what is known about one host in, what to do next out.
 *
 * A host is lost only by two independent signs: its session fell silent, and its neighbours do not hear it either (or it
 * tells them itself that its lease has ended, or its power was seen to be off). `fenced`, after which its `elsewhere` sets
 * run again on other hosts, needs proof on top: power that was *read* as off, or the end of every lease it may have plus
 * the time in which something on the host stops its sets for sure, or an operator's word.
 */
export type NeighbourSign =
  /** Nobody has been asked yet, or nobody could answer. */
  | { readonly at: 'unknown'; readonly candidates: number }
  /** As many as are needed were asked, and hear nothing. */
  | { readonly at: 'silent' }
  /** A neighbour hears it; `isIdle`: and it says that its lease has ended and nothing `elsewhere` runs. */
  | { readonly at: 'heard'; readonly by: string; readonly isIdle: boolean }

/** `off`: read twice, one after the other. */
export type PowerSign = 'none' | 'unknown' | 'on' | 'off'

export interface FenceInput {
  readonly state: Host['state']
  readonly name: string
  readonly maintenance: boolean
  readonly stopsWithinMs: number | null
  readonly neighbours: NeighbourSign
  readonly power: PowerSign
  /** What its management controller answers instead of a power state. */
  readonly powerProblem: string | null
  /** It was caught lying since the host fell silent: a neighbour heard the machine that it called off. */
  readonly isPowerDoubted: boolean
  /** Whether every lease that it may have has ended, and with it everything `elsewhere` there. */
  readonly isLeaseOver: boolean
  /** Why nothing may be fenced at the moment, if so. */
  readonly brake: string | null
  /** An operator asked for it. */
  readonly asked: { readonly force: boolean } | null
}

export type FenceAction =
  | { readonly do: 'nothing' }
  /** Nothing to do but to look again; `step` and `text` say what is missing. */
  | { readonly do: 'wait'; readonly step: HostFence['step']; readonly text: string }
  /** What was asked cannot be done; `text` says why. */
  | { readonly do: 'refuse'; readonly text: string }
  | { readonly do: 'power-off'; readonly text: string }
  | { readonly do: 'fence'; readonly by: 'power' | 'lease'; readonly text: string }

export function decideFence(input: FenceInput): FenceAction {
  switch (input.state) {
    case 'invited':
    case 'joining':
    case 'fenced':
      return { do: 'nothing' }
    case 'ready':
    case 'returning':
      return input.asked === null ? { do: 'nothing' } : shoot(input, input.asked)
    case 'unreachable':
      return lost(input)
    default:
      return unreachable(input.state)
  }
}

/** An operator wants a connected host off. It is fenced only once it has fallen silent and its power is read as off. */
function shoot(input: FenceInput, asked: { force: boolean }): FenceAction {
  if (!asked.force)
    return {
      do: 'refuse',
      text: `the agent of ${input.name} is connected, so it is alive; \`nubo host fence ${input.name} --force\` switches it off all the same`,
    }
  if (input.power === 'none') return { do: 'refuse', text: noPower(input.name) }
  if (input.power === 'off')
    return {
      do: 'wait',
      step: 'powering-off',
      text: 'Its power is read as off; waits until its session falls silent.',
    }
  return { do: 'power-off', text: 'It is switched off at the word of an operator.' }
}

function lost(input: FenceInput): FenceAction {
  const { asked, neighbours, power } = input
  // Whom an operator names is fenced in spite of brake and maintenance; what follows still has to prove that it stopped.
  if (asked === null) {
    if (input.maintenance)
      return {
        do: 'wait',
        step: 'held',
        text: `It is in maintenance, so it is not fenced by itself. ${whenYouKnow(input.name)}`,
      }
    if (input.brake !== null)
      return {
        do: 'wait',
        step: 'held',
        text: `${input.brake} ${whenYouKnow(input.name)}`,
      }
  }
  if (neighbours.at === 'heard' && !neighbours.isIdle && asked?.force !== true)
    return heardAlive(input, neighbours.by)
  if (power === 'off' && neighbours.at !== 'heard' && !input.isPowerDoubted)
    return { do: 'fence', by: 'power', text: 'its power was read as off, twice' }
  if (isSecondSign(neighbours) && input.isLeaseOver && input.stopsWithinMs !== null)
    return {
      do: 'fence',
      by: 'lease',
      text:
        neighbours.at === 'heard'
          ? `its lease has ended, and it told ${neighbours.by} that nothing of it runs`
          : 'every lease it may have has ended, and it stops by itself after that',
    }
  if (power === 'off' && neighbours.at === 'heard') return lying(input, neighbours.by)
  const mayShoot =
    neighbours.at === 'silent' || (asked !== null && (neighbours.at === 'unknown' || asked.force))
  if (power === 'on' && mayShoot)
    return { do: 'power-off', text: 'Its neighbours do not hear it; its power is switched off.' }
  return wait(input)
}

/** Its session is silent: that is one sign. The second must come another way. */
function isSecondSign(sign: NeighbourSign): boolean {
  return sign.at === 'silent' || (sign.at === 'heard' && sign.isIdle)
}

function heardAlive(input: FenceInput, by: string): FenceAction {
  if (input.power === 'off') return lying(input, by)
  if (input.asked !== null)
    return {
      do: 'refuse',
      text: `${by} hears ${input.name} on the underlay, so it is alive; \`--force\` switches it off all the same`,
    }
  return {
    do: 'wait',
    step: 'blocked',
    text: `${by} hears it on the underlay, so it is alive and only its way to the servers is broken; a host that is heard is never switched off. ${whenYouKnow(input.name)}`,
  }
}

function lying({ name, asked }: FenceInput, by: string): FenceAction {
  const text = `Its management controller says that it is off, but ${by} hears it on the underlay: the controller is wrong, or is another machine's. Look at \`nubo host power show ${name}\`.`
  return asked === null ? { do: 'wait', step: 'blocked', text } : { do: 'refuse', text }
}

function wait(input: FenceInput): FenceAction {
  const { neighbours, stopsWithinMs, name } = input
  if (!isSecondSign(neighbours)) return waitForSign(input)
  if (stopsWithinMs === null)
    return {
      do: 'wait',
      step: 'blocked',
      text: `Nothing on it guarantees that its sets stop (its lease guard did not run), and ${powerText(input)}. ${whenYouKnow(name)}`,
    }
  return {
    do: 'wait',
    step: 'waiting-for-lease',
    text: `Its lease ends, and by itself it has stopped its \`elsewhere\` sets, at most ${Math.ceil(leaseProvenEndedAfterMs(stopsWithinMs) / 1_000)} s after it was heard last; ${powerText(input)}. ${whenYouKnow(name)}`,
  }
}

function waitForSign(input: FenceInput): FenceAction {
  const { neighbours, power, name } = input
  if (neighbours.at === 'unknown' && neighbours.candidates === 0)
    return {
      do: 'wait',
      step: 'blocked',
      text: `No other host could be asked whether it hears it${power === 'on' || power === 'off' ? `, and ${powerText(input)}` : ''}: silence of its session alone is not enough. ${
        power === 'on' || power === 'unknown'
          ? `Switch it off with \`nubo host fence ${name}\`, or: `
          : ''
      }${whenYouKnow(name)}`,
    }
  return { do: 'wait', step: 'looking', text: 'Its neighbours are asked whether they hear it.' }
}

function powerText({ power, powerProblem, isPowerDoubted }: FenceInput): string {
  if (power === 'off' && isPowerDoubted)
    return 'its management controller says that it is off, as it did while a neighbour heard it, so it is not believed'
  switch (power) {
    case 'none':
      return 'its power is not under control (`nubo host power set`)'
    case 'unknown':
      return `its management controller gives no answer${powerProblem === null ? '' : ` (${powerProblem})`}`
    case 'on':
      return 'its power is on'
    case 'off':
      return 'its power is off'
    default:
      return unreachable(power)
  }
}

function whenYouKnow(name: string): string {
  return `If you have seen that it is off: \`nubo host fence ${name} --confirm-off\`.`
}

function noPower(name: string): string {
  return `the power of ${name} is not under control (\`nubo host power set\`); switch it off yourself, then \`nubo host fence ${name} --confirm-off\``
}

/** Whoever answers a neighbour has power, whatever its controller says. */
export function contradictsPower(power: PowerSign, neighbours: NeighbourSign): boolean {
  return power === 'off' && neighbours.at === 'heard'
}

/** What a neighbour said when it was asked. */
export type NeighbourWord = HostFence['neighbours'][number]

/** So many are asked about one host, and so many of them must answer where there are that many. */
export const NEIGHBOURS_ASKED_MAX = 3
export const NEIGHBOURS_NEEDED = 2

/** `candidates`: how many could have been asked. */
export function signOf(words: readonly NeighbourWord[], candidates: number): NeighbourSign {
  const heard = words.filter(({ answer }) => answer === 'heard')
  const isAlive = (word: NeighbourWord): boolean =>
    word.lease !== 'ended' || word.elsewhereRunning !== 0
  const word = heard.find(isAlive) ?? heard[0]
  if (word !== undefined) return { at: 'heard', by: word.host, isIdle: !isAlive(word) }
  const silent = words.filter(({ answer }) => answer === 'silence').length
  return silent > 0 && silent >= Math.min(NEIGHBOURS_NEEDED, candidates)
    ? { at: 'silent' }
    : { at: 'unknown', candidates }
}

/** What of a host matters when neighbours are chosen. */
export interface Neighbour {
  readonly id: string
  readonly name: string
  readonly zone: string
  readonly rack: string
  readonly state: Host['state']
  readonly probeAddress: string | null
}

/**
 * Who could be asked about a host, best first: of other racks, because a rack's switch may be what failed; then in the
 * order of names from the host's own on, so that many lost hosts do not all trouble the same few.
 */
export function neighboursOf<Some extends Neighbour>(
  target: Neighbour,
  hosts: Iterable<Some>,
): Some[] {
  const rank = (host: Neighbour): string => {
    const isSameRack = host.zone === target.zone && host.rack === target.rack
    return `${isSameRack ? 1 : 0}${host.name > target.name ? 0 : 1}${host.name}`
  }
  return [...hosts]
    .filter((host) => host.id !== target.id && host.state === 'ready' && host.probeAddress !== null)
    .toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1))
}
