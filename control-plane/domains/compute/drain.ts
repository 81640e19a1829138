import type { InstanceId } from '@nubo/base'
import type { Host, Reason } from '@nubo/contracts'

/**
 * What a drain does next. Pure: what is on one host in, which moves begin now or how it ends out. A move begins only if
 * another host has room for the set at this moment: no set is stopped that could not run elsewhere.
 */
export interface DrainInput {
  readonly host: {
    readonly name: string
    readonly state: Host['state']
    readonly cordoned: boolean
  }
  /** In a maintenance, `local` sets that were asked for on this very host stay. */
  readonly isMaintenance: boolean
  /** So many sets were on the host when it began. */
  readonly total: number
  /** So many moves may begin now. */
  readonly slots: number
  readonly nowMs: number
  /** In the order in which they are to move. */
  readonly sets: readonly DrainSet[]
}

export interface DrainSet {
  readonly id: InstanceId
  readonly name: string
  readonly recovery: 'local' | 'elsewhere'
  readonly at: DrainStep
}

export type DrainStep =
  /** It was asked for on this very host. */
  | { readonly step: 'pinned' }
  /** Another host could take it now. */
  | { readonly step: 'may-move' }
  | { readonly step: 'no-room'; readonly text: string }
  /** It is being stopped. */
  | { readonly step: 'stopping'; readonly sinceMs: number; readonly killedAfterMs: number }
  /** It has left the host; `refused`: and the room that was there for it was taken meanwhile. */
  | { readonly step: 'placing'; readonly refused: string | null }

export type DrainAction =
  | { readonly do: 'go-on'; readonly begin: readonly InstanceId[]; readonly progress: string }
  | {
      readonly do: 'end'
      readonly state: 'done' | 'failed' | 'cancelled'
      readonly reason: Reason | null
      readonly progress: string
    }

export const drainKinds = ['host.drain', 'host.maintenance'] as const

/** Whether the agent of a host can be told to stop something now. */
export function canStop({ state }: { readonly state: Host['state'] }): boolean {
  return state === 'ready' || state === 'returning'
}

/** Seconds are told in steps, so that a set that takes its time does not write a revision each second. */
const TOLD_STEP_S = 5
const NAMES_MAX = 5
const REASON_CHARACTERS_MAX = 1_900

export function decideDrain(input: DrainInput): DrainAction {
  const { host, sets } = input
  const counted = countText(input)
  const isPlacing = sets.some(({ at }) => at.step === 'placing' && at.refused === null)
  if (host.state === 'fenced' && !isPlacing)
    return endOf(input, `${host.name} was fenced meanwhile`)
  if (!host.cordoned)
    return {
      do: 'end',
      state: 'cancelled',
      reason: {
        code: 'NOT_ALLOWED_NOW',
        text: `Host ${host.name} takes new instances again (uncordoned), so no further set moves; moves that were under way end.`,
      },
      progress: counted,
    }
  if (!canStop(host))
    return {
      do: 'go-on',
      begin: [],
      progress: `${counted}; ${host.name} is ${host.state}, so nothing can be stopped there in order: waits until it is back or fenced`,
    }
  const fitting = sets.filter(({ at }) => at.step === 'may-move')
  const underWay = sets.filter(isUnderWay)
  if (fitting.length + underWay.length === 0) return endOf(input, undefined)
  const begin = fitting.slice(0, Math.max(0, input.slots)).map(({ id }) => id)
  return { do: 'go-on', begin, progress: [counted, ...stepTexts(input)].join('; ') }
}

function isUnderWay({ at }: DrainSet): boolean {
  return at.step === 'stopping' || (at.step === 'placing' && at.refused === null)
}

/** Nothing more can be moved. */
function endOf(input: DrainInput, why: string | undefined): DrainAction {
  const counted = countText(input)
  const staying = input.sets.filter((set) => mayStay(input, set))
  const left = input.sets.filter((set) => !mayStay(input, set))
  const stay = staying.length === 0 ? '' : `; stay: ${names(staying)}`
  if (left.length === 0)
    return { do: 'end', state: 'done', reason: null, progress: `${counted}${stay}` }
  const isFull = left.some(({ at }) => at.step === 'no-room' || at.step === 'placing')
  const text = [...(why === undefined ? [] : [why]), ...left.map((set) => whyLeft(input, set))]
  return {
    do: 'end',
    state: 'failed',
    reason: {
      code: isFull ? 'NOT_PLACED' : 'NOT_ALLOWED_NOW',
      text: shortened(text, `; ${input.host.name} stays cordoned`),
    },
    progress: `${counted}${stay}`,
  }
}

function mayStay({ isMaintenance }: DrainInput, { at, recovery }: DrainSet): boolean {
  return isMaintenance && at.step === 'pinned' && recovery === 'local'
}

function whyLeft({ host }: DrainInput, { name, at }: DrainSet): string {
  switch (at.step) {
    case 'pinned':
      return `${name} stays: it was asked for on ${host.name} (--host)`
    case 'no-room':
      return `${name} runs on: ${at.text}`
    case 'placing':
      return `${name} has left and waits for a place: ${at.refused ?? 'it is being placed'}`
    case 'stopping':
      return `${name} was being stopped and goes on to another host once ${host.name} is back`
    case 'may-move':
      return `${name} is still there and returns with ${host.name}`
  }
}

function stepTexts({ host, nowMs, sets }: DrainInput): string[] {
  const texts = sets.flatMap(({ name, at }) => {
    if (at.step === 'placing')
      return at.refused === null ? [`${name} is being placed`] : [`${name} waits: ${at.refused}`]
    if (at.step !== 'stopping') return []
    const seconds = Math.max(0, nowMs - at.sinceMs) / 1_000
    const told = Math.floor(seconds / TOLD_STEP_S) * TOLD_STEP_S
    return [
      `${name} stops on ${host.name} (${told} s; what ignores it is killed after ${Math.ceil(at.killedAfterMs / 1_000)} s)`,
    ]
  })
  const more = texts.length - NAMES_MAX
  return more > 0 ? [...texts.slice(0, NAMES_MAX), `and ${more} more`] : texts
}

function countText({ total, sets }: DrainInput): string {
  const left = sets.length
  // One that was being placed on the host when it was cordoned may have come later.
  return `${Math.max(0, total - left)} of ${Math.max(total, left)} moved`
}

function names(sets: readonly DrainSet[]): string {
  const more = sets.length - NAMES_MAX
  const first = sets.slice(0, NAMES_MAX).map(({ name }) => name)
  return [...first, ...(more > 0 ? [`and ${more} more`] : [])].join(', ')
}

/** As many whole parts as there is room for. */
function shortened(parts: readonly string[], end: string): string {
  const told: string[] = []
  let length = end.length
  for (const part of parts) {
    length += part.length + 2
    if (length > REASON_CHARACTERS_MAX && told.length > 0) break
    told.push(part.slice(0, REASON_CHARACTERS_MAX - end.length))
  }
  const more = parts.length - told.length
  return `${told.join('; ')}${more > 0 ? `; and ${more} more` : ''}${end}`
}
