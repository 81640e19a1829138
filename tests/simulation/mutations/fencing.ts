import type { Mutation } from './mutation.ts'

const gate = 'host-agent/wanted/placement-gate.ts'
const fence = 'control-plane/domains/fleet/fence.ts'
const livenessStore = 'control-plane/domains/fleet/liveness-store.ts'

/** Bugs in what keeps an instance from running twice. */
export const fencingMutations: readonly Mutation[] = [
  {
    name: 'lease-ignored',
    bug: 'An agent runs its `elsewhere` sets whether its lease lasts or not.',
    seedsMax: 10,
    edits: [
      {
        file: gate,
        before:
          "    if (!this.doesLast) return this.#leaseUntilMs === 0 ? 'unconfirmed' : 'lease-ended'\n",
        after: '',
      },
      {
        file: gate,
        before: '    this.#isConfirmed = false\n',
        after: '',
      },
    ],
  },
  {
    name: 'lease-begins-anew-with-the-agent',
    bug: 'An agent that restarts gives itself a whole lease.',
    seedsMax: 60,
    edits: [
      {
        file: gate,
        before: '    this.#leaseUntilMs = readLease(needs)\n',
        after:
          '    this.#leaseUntilMs = needs.clock.monotonicMs() + needs.leaseMaxMs\n    needs.lease.save(this.#leaseUntilMs)\n    void readLease\n',
      },
    ],
  },
  {
    name: 'runs-before-confirmed',
    bug: 'After a reboot an agent starts its `elsewhere` sets before a server has confirmed them.',
    seedsMax: 30,
    edits: [
      {
        file: gate,
        before: "return this.#leaseUntilMs === 0 ? 'unconfirmed' : 'lease-ended'",
        after: "return this.#leaseUntilMs === 0 ? 'granted' : 'lease-ended'",
      },
    ],
  },
  {
    name: 'guard-asleep',
    bug: 'The lease guard of a host never ends anything.',
    seedsMax: 30,
    edits: [
      {
        file: 'host-agent/simulated/simulated-guard.ts',
        before: "if (lease === 'ended' || lease === 'damaged') this.#killWatched()",
        after: 'void this.#killWatched',
      },
    ],
  },
  {
    name: 'lease-without-record',
    faults: ['partition'],
    bug: 'A server grants leases although it cannot write down that it hears the host.',
    seedsMax: 60,
    edits: [
      {
        file: 'control-plane/domains/fleet/presence.ts',
        before:
          'last?.sessionId === sessionId && clock.monotonicMs() - last.sinceMs <= RECORD_STALE_MAX_MS',
        after: 'last?.sessionId === sessionId || last === undefined',
      },
    ],
  },
  {
    name: 'session-before-record',
    faults: ['partition'],
    bug: 'A server welcomes a host before the record has it, with what it knew of it, and an agent takes any epoch.',
    seedsMax: 20,
    edits: [
      {
        file: 'control-plane/domains/fleet/presence.ts',
        before: 'await arrivals.add({ hostId, hello, ...by })',
        after: 'void arrivals.add({ hostId, hello, ...by }).catch(() => undefined)',
      },
      {
        file: 'host-agent/wanted/wanted-store.ts',
        before: 'if (seen === undefined || item.epoch >= seen.epoch) continue',
        after: 'if (seen === undefined || item.epoch >= 0) continue',
      },
    ],
  },
  {
    name: 'pinned-by-an-old-wish',
    faults: ['drain'],
    bug: 'A drain leaves a set where it is that was asked for on another host.',
    seedsMax: 20,
    edits: [
      {
        file: 'control-plane/domains/compute/store.ts',
        before: 'return placementRule.hostId !== null && placementRule.hostId === hostId',
        after: 'return placementRule.hostId !== null && hostId !== null',
      },
    ],
  },
  {
    name: 'elsewhere-unheard',
    faults: ['partition', 'power'],
    bug: 'A set that became `elsewhere` is placed again although its host has not heard of it.',
    seedsMax: 100,
    edits: [
      {
        file: 'control-plane/domains/compute/store.ts',
        before: 'return isNews ? before.generation : (before.localGeneration ?? null)',
        after: 'return isNews ? null : null',
      },
    ],
  },
  {
    name: 'fenced-before-lease-end',
    bug: 'A host counts as stopped before the last lease that it may have has ended.',
    seedsMax: 60,
    edits: [
      {
        file: 'control-plane/domains/fleet/reconcilers/fence.ts',
        before: 'seen.unchangedMs > leaseProvenEndedAfterMs(stopsWithinMs)',
        after: 'seen.unchangedMs > leaseProvenEndedAfterMs(stopsWithinMs) - 32_000',
      },
    ],
  },
  {
    name: 'fenced-without-second-sign',
    faults: ['bmc'],
    bug: 'Power control alone is believed, though a neighbour hears the host.',
    seedsMax: 20,
    edits: [
      {
        file: fence,
        before: "if (power === 'off' && neighbours.at !== 'heard' && !input.isPowerDoubted)",
        after: "if (power === 'off')",
      },
      {
        file: fence,
        before:
          "if (neighbours.at === 'heard' && !neighbours.isIdle && asked?.force !== true)\n    return heardAlive(input, neighbours.by)",
        after: 'void heardAlive',
      },
    ],
  },
  {
    name: 'brake-ignored',
    bug: 'Hosts are fenced although too many were lost at once.',
    seedsMax: 60,
    edits: [
      { file: fence, before: 'if (input.brake !== null)', after: 'if (input.brake === "")' },
      {
        file: livenessStore,
        before: 'if (!isAsked && (await isBrakeOn(tx))) return undefined',
        after: 'void [isAsked, isBrakeOn]',
      },
    ],
  },
  {
    name: 'sets-stay-on-a-fenced-host',
    bug: 'Fencing does not release what is on the host.',
    seedsMax: 30,
    edits: [
      {
        file: 'control-plane/domains/compute/reconcilers/evacuate.ts',
        before:
          "  await releaseInstances(tx, touched, {\n    host,\n    atMs,\n    reason: { code: 'HOST_FENCED'",
        after:
          "  void releaseInstances\n  void (tx, touched, {\n    host,\n    atMs,\n    reason: { code: 'HOST_FENCED'",
      },
    ],
  },
  {
    name: 'epoch-stays',
    bug: 'A set that is placed again keeps its epoch.',
    seedsMax: 30,
    edits: [
      {
        file: 'control-plane/domains/compute/placing-store.ts',
        before: 'epoch = s.epoch + 1, placement',
        after: 'epoch = greatest(s.epoch, 1), placement',
      },
    ],
  },
  {
    name: 'placed-on-lost-hosts',
    bug: 'Placement does not ask whether a host is there.',
    seedsMax: 30,
    edits: [
      {
        file: 'control-plane/domains/placement/placement.ts',
        before: "  if (host.state !== 'ready') return 'state'\n",
        after: '',
      },
      {
        file: 'control-plane/domains/placement/placement.ts',
        before: "    host.state === 'ready' &&\n",
        after: '',
      },
    ],
  },
  {
    name: 'epoch-check-off',
    bug: 'An agent takes a set at a lower epoch than it has seen, and a server believes reports of one.',
    seedsMax: 20,
    edits: [
      {
        file: 'host-agent/wanted/wanted-store.ts',
        before: 'if (seen === undefined || item.epoch >= seen.epoch) continue',
        after: 'if (seen === undefined || item.epoch >= 0) continue',
      },
      // Asked three times on the way to the record: where the session takes the report, before and in the transaction.
      {
        file: 'control-plane/host-sessions/found.ts',
        before:
          "  if (found.epoch < row.epoch || row.hostId === null) return 'stale'\n  return row.hostId === hostId ? 'current' : 'foreign'",
        after: "  void hostId\n  return 'current'",
      },
      {
        file: 'control-plane/domains/compute/reports.ts',
        before: 'if (row.hostId === hostId && row.epoch === found.epoch) return true',
        after: 'if (row.hostId !== undefined) return true',
      },
      {
        file: 'control-plane/domains/compute/reports.ts',
        before: 'return row?.hostId === hostId && row.epoch === found.epoch',
        after: 'return row !== undefined && hostId !== undefined && found.epoch > 0',
      },
    ],
  },
]
