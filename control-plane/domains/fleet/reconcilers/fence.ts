import { isDeepStrictEqual } from 'node:util'
import { newId, type Clock, type HostId, type Random } from '@nubo/base'
import type { HostFence, Reason } from '@nubo/contracts'
import type { Log } from '@nubo/runtime'
import type { HostRow, OperationRow, Recorder, World } from '../../../world/index.ts'
import { endOperation, progressOperation } from '../../operations/index.ts'
import { brakeCause, BRAKE_WINDOW_MS, type BrakeHost, type BrakeLimits } from '../brake.ts'
import { contradictsPower, decideFence, type FenceAction, type NeighbourWord } from '../fence.ts'
import { recordFenced, recordSigns } from '../liveness-store.ts'
import { engageBrake, releaseBrake, setFenceAsked } from '../store.ts'
import { leaseProvenEndedAfterMs } from '../lease.ts'
import type { Evacuation, PowerControl, NeighbourProbes } from '../needs.ts'
import { gatherEvidence, type Evidence } from './evidence.ts'
import { silenceText, SUSPECT_MS, type LivenessReconciler } from './liveness.ts'

export const FENCE_PERIOD_MS = 1_000
/** A lost host is looked at again after so long. */
const EVIDENCE_PERIOD_MS = 3_000
/** Evidence that is older decides nothing. */
const EVIDENCE_FRESH_MAX_MS = 8_000
/** So many hosts are looked at side by side; others wait for the next pass. */
const GATHERING_MAX = 32

export interface FenceDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly probes: NeighbourProbes
  readonly power: PowerControl
  readonly evacuation: Evacuation
  readonly brakeLimits: BrakeLimits
}

/** The process that leads runs `pass` every `periodMs` and when `onNews` is called; a new leader makes a new one. */
export interface FenceReconciler {
  readonly periodMs: number
  pass(): Promise<void>
}

interface Look {
  readonly evidence: Evidence
  readonly beganAtMs: number
}

/**
 * Follows every host that was lost until it is back or proven stopped: gathers signs, decides by `decideFence`, acts, and
 * writes down what is known and missing whenever that changes. Takes no hint; everything but the evidence of the last few
 * seconds is read anew, and whatever it does is checked again against the tables.
 */
export function createFenceReconciler(
  deps: FenceDeps,
  { liveness, onNews }: { liveness: LivenessReconciler; onNews: () => void },
): FenceReconciler {
  const { world, clock } = deps
  const looks = new Map<HostId, Look>()
  const gathering = new Set<HostId>()
  /** Evidence counts only if its gathering began after the last deed. */
  const actedAtMs = new Map<HostId, number>()
  let wasHeld = false

  /** What was seen up to now says nothing about what is so from now on. */
  function lookAnew(id: HostId): void {
    looks.delete(id)
    actedAtMs.set(id, clock.monotonicMs())
  }

  /** In the background, so that a controller that hangs holds up nobody else. */
  function look(host: HostRow): void {
    const last = looks.get(host.id)
    const nowMs = clock.monotonicMs()
    if (gathering.has(host.id) || gathering.size >= GATHERING_MAX) return
    if (last !== undefined && nowMs - last.beganAtMs < EVIDENCE_PERIOD_MS) return
    gathering.add(host.id)
    void gatherEvidence(deps, host, world.host.values()).then((evidence) => {
      gathering.delete(host.id)
      if (nowMs >= (actedAtMs.get(host.id) ?? 0)) looks.set(host.id, { evidence, beganAtMs: nowMs })
      onNews()
    })
  }

  return {
    periodMs: FENCE_PERIOD_MS,
    pass: async () => {
      const brake = await applyBrake(deps, liveness)
      const lost = world.host.by('lost', 'yes').filter(isFollowed)
      const ids = new Set(lost.map(({ id }) => id))
      for (const known of [looks, actedAtMs])
        for (const id of known.keys()) if (!ids.has(id)) known.delete(id)
      // Whatever cut off so many is over for some, so the others may be on their way back: their silence was of before.
      if (wasHeld && brake === null) for (const id of ids) lookAnew(id)
      wasHeld = brake !== null
      for (const host of lost.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
        const { id } = host
        const found = looks.get(id)
        look(host)
        if (found === undefined || clock.monotonicMs() - found.beganAtMs > EVIDENCE_FRESH_MAX_MS)
          continue
        const seen = liveness.seenOf(id)
        const action = decideOf(deps, { host, evidence: found.evidence, seen, brake })
        await act(deps, { host, action, evidence: found.evidence, record: seen?.record })
        if (action.do === 'power-off') lookAnew(id)
      }
    },
  }
}

function isFollowed(host: HostRow): boolean {
  return host.state === 'unreachable' || host.fenceAsked !== null
}

function decideOf(
  { world }: FenceDeps,
  about: {
    host: HostRow
    evidence: Evidence
    seen: ReturnType<LivenessReconciler['seenOf']>
    brake: string | null
  },
): FenceAction {
  const { host, evidence, seen } = about
  const asked = openAsk(world, host)
  const { name, state, maintenance, stopsWithinMs } = host
  return decideFence({
    name,
    state,
    maintenance,
    stopsWithinMs,
    neighbours: evidence.neighbours,
    power: evidence.power,
    powerProblem: evidence.powerProblem,
    isPowerDoubted: isPowerDoubted(host, evidence),
    isLeaseOver:
      stopsWithinMs !== null &&
      seen !== undefined &&
      seen.unchangedMs > leaseProvenEndedAfterMs(stopsWithinMs),
    brake: about.brake,
    asked: asked === undefined ? null : { force: host.fenceAsked?.force === true },
  })
}

/** The operation of an operator's wish, while it is open. */
function openAsk(world: World, host: HostRow): OperationRow | undefined {
  const operation = world.operation.get(host.fenceAsked?.operationId)
  return operation?.endedAtMs === null ? operation : undefined
}

interface Act {
  readonly host: HostRow
  readonly action: FenceAction
  readonly evidence: Evidence
  readonly record: NonNullable<ReturnType<LivenessReconciler['seenOf']>>['record']
}

async function act(deps: FenceDeps, about: Act): Promise<void> {
  const { host, action, evidence } = about
  switch (action.do) {
    case 'nothing':
    case 'refuse':
      return endAsk(deps, host, action.do === 'refuse' ? action.text : 'nothing is left to do')
    case 'wait':
      return tell(deps, about, { step: action.step, text: action.text })
    case 'power-off': {
      await tell(deps, about, { step: 'powering-off', text: action.text })
      const now = deps.world.host.get(host.id)
      // It came back while that was written.
      if (host.power === null || now?.state !== host.state || now.sessionId !== host.sessionId)
        return
      deps.log.warn('the power of a host is switched off', { host: host.name })
      await deps.power.off({ hostId: host.id, power: host.power })
      return
    }
    case 'fence': {
      const atMs = deps.clock.nowMs()
      const fence = fenceOf(host, evidence, {
        step: 'fenced',
        text: `Proven stopped: ${action.text}.`,
      })
      const text = `It was fenced ${new Date(atMs).toISOString()}: ${action.text}. Its \`elsewhere\` sets are placed again; the others return with it.`
      const done = await fenceNow(deps, {
        host,
        fencing: {
          hostId: host.id,
          record: about.record,
          fence: { ...fence, by: action.by, fencedAt: atMs },
          reason: { code: 'HOST_FENCED', text },
          atMs,
        },
      })
      if (done) deps.log.warn('a host is fenced', { host: host.name, by: action.by })
    }
  }
}

/** One transaction; also for an operator's word. False if the host is not lost (any more). */
export async function fenceNow(
  deps: Pick<FenceDeps, 'recorder' | 'evacuation' | 'world'>,
  about: { host: HostRow; fencing: Parameters<typeof recordFenced>[2]['fencing'] },
): Promise<boolean> {
  const { recorder, evacuation, world } = deps
  const { host, fencing } = about
  const operation = openAsk(world, host)
  return recorder.write(async (tx, touched) => {
    const before = await recordFenced(tx, touched, { fencing, evacuation })
    if (before === undefined) return false
    if (operation !== undefined)
      await endOperation(tx, touched, {
        id: operation.id,
        state: 'done',
        reason: null,
        progress: 'fenced',
        atMs: fencing.atMs,
      })
    return true
  })
}

/** Writes signs and step down if they are news; times and seconds that pass are none. */
async function tell(
  deps: FenceDeps,
  { host, evidence }: Act,
  now: { step: HostFence['step']; text: string },
): Promise<void> {
  const { recorder, world, clock } = deps
  const fence = fenceOf(host, evidence, now)
  const operation = openAsk(world, host)
  const isLost = host.state === 'unreachable'
  const isNews = isLost && !isDeepStrictEqual(fence, host.fence)
  const isProgress = operation !== undefined && operation.progress !== now.text.slice(0, 500)
  if (!isNews && !isProgress) return
  await recorder.write(async (tx, touched) => {
    if (isNews)
      await recordSigns(tx, touched, {
        hostId: host.id,
        state: host.state,
        fence,
        reason: reasonOf(fence),
      })
    if (operation !== undefined)
      await progressOperation(tx, touched, {
        id: operation.id,
        progress: now.text.slice(0, 500),
        reason: null,
        atMs: clock.nowMs(),
      })
  })
}

function fenceOf(
  host: HostRow,
  evidence: Evidence,
  { step, text }: { step: HostFence['step']; text: string },
): HostFence {
  return {
    step,
    text,
    silentSince: host.fence?.silentSince ?? null,
    neighbours: [...evidence.words],
    power: evidence.power,
    powerProblem: evidence.powerProblem,
    ...(isPowerDoubted(host, evidence) ? { isPowerDoubted: true } : {}),
    by: null,
    fencedAt: null,
  }
}

/** Kept in the record, so that the next leader knows it too. */
function isPowerDoubted(host: HostRow, { power, neighbours }: Evidence): boolean {
  return host.fence?.isPowerDoubted === true || contradictsPower(power, neighbours)
}

function reasonOf(fence: HostFence): Reason {
  const signs = [
    neighboursText(fence.neighbours),
    fence.power === 'none' ? undefined : `Power: ${fence.power}.`,
  ].filter((sign) => sign !== undefined)
  return {
    code: 'HOST_UNREACHABLE',
    text: [silenceText(fence.silentSince), ...signs, fence.text].join(' ').slice(0, 2_000),
  }
}

function neighboursText(words: readonly NeighbourWord[]): string | undefined {
  if (words.length === 0) return undefined
  const parts = words.map(({ host, answer, lease, elsewhereRunning }) => {
    if (answer !== 'heard') return `${host}: ${answer === 'silence' ? 'silence' : 'did not say'}`
    return `${host} hears it (lease ${lease === 'ended' ? 'ended' : 'lasts'}, running \`elsewhere\` sets: ${elsewhereRunning ?? '?'})`
  })
  return `Neighbours: ${parts.join(', ')}.`
}

async function endAsk(deps: FenceDeps, host: HostRow, text: string): Promise<void> {
  const { recorder, clock, world } = deps
  if (host.fenceAsked === null) return
  const operation = openAsk(world, host)
  await recorder.write(async (tx, touched) => {
    await setFenceAsked(tx, touched, { hostId: host.id, asked: null })
    if (operation !== undefined)
      await endOperation(tx, touched, {
        id: operation.id,
        state: 'failed',
        reason: { code: 'NOT_ALLOWED_NOW', text },
        progress: 'not fenced',
        atMs: clock.nowMs(),
      })
  })
}

/** Why nothing may be fenced now, or null. Puts the brake on or takes it off where that has changed. */
async function applyBrake(deps: FenceDeps, liveness: LivenessReconciler): Promise<string | null> {
  const { world, recorder, clock, random, log, brakeLimits } = deps
  const isCalm = !world.host.by('lost', 'yes').some(({ state }) => state === 'unreachable')
  if (isCalm && world.brake.size === 0) return null
  const hosts = brakeHosts(world, { liveness, nowMs: clock.nowMs() })
  const cause = brakeCause(hosts, brakeLimits, { suspects: false })
  const [row] = [...world.brake.values()]
  if (cause === undefined) {
    if (row !== undefined) {
      await recorder.write((tx, touched) => releaseBrake(tx, touched))
      log.warn('the brake is released')
    }
    const coming = brakeCause(hosts, brakeLimits, { suspects: true })
    return coming === undefined
      ? null
      : `Others of ${coming.name} miss heartbeats at this moment; waits until it is clear how many are lost.`
  }
  const fresh = newId<'brake'>(clock, random)
  if (row?.reason.text !== cause.text || row.hosts.join() !== cause.hosts.join()) {
    await recorder.write((tx, touched) =>
      engageBrake(tx, touched, {
        id: row?.id ?? fresh,
        name: cause.name,
        hosts: cause.hosts,
        reason: { code: 'HOST_UNREACHABLE', text: cause.text },
        sinceMs: clock.nowMs(),
      }),
    )
    log.warn('the brake holds: too many hosts are lost at once', {
      domain: cause.name,
      hosts: cause.hosts,
    })
  }
  return cause.text
}

function brakeHosts(
  world: World,
  now: { liveness: LivenessReconciler; nowMs: number },
): BrakeHost[] {
  return [...world.host.values()].flatMap((host): BrakeHost[] => {
    if (host.maintenance) return []
    const standing = standingOf(host, now)
    if (standing === undefined) return []
    const { name, zone, rack } = host
    return [{ name, zone, rack, standing }]
  })
}

function standingOf(
  host: HostRow,
  { liveness, nowMs }: { liveness: LivenessReconciler; nowMs: number },
): BrakeHost['standing'] | undefined {
  switch (host.state) {
    case 'ready':
    case 'returning':
      return (liveness.seenOf(host.id)?.unchangedMs ?? 0) > SUSPECT_MS ? 'suspect' : 'ready'
    case 'unreachable':
      return 'lost'
    case 'fenced': {
      const fencedAt = host.fence?.fencedAt ?? null
      const isRecent = fencedAt !== null && Math.abs(nowMs - fencedAt) < BRAKE_WINDOW_MS
      return host.fence?.by !== 'operator' && isRecent ? 'lost' : undefined
    }
    case 'invited':
    case 'joining':
      return undefined
  }
}
