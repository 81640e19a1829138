import type { Mutation } from './mutation.ts'

/** Bugs in what is recorded, fed, placed and reported. */
export const recordMutations: readonly Mutation[] = [
  {
    name: 'feed-row-skipped',
    bug: 'A server leaves out the last row of a revision that has several.',
    seedsMax: 3,
    edits: [
      {
        file: 'control-plane/world/feed.ts',
        before: 'world.apply(revision, this.#known(changes))',
        after:
          'world.apply(revision, this.#known(changes.length > 3 ? changes.slice(0, -1) : changes))',
      },
    ],
  },
  {
    name: 'feed-applied-twice',
    bug: 'A server reads its newest revision again and applies it once more.',
    seedsMax: 3,
    edits: [
      {
        file: 'control-plane/world/feed.ts',
        before: `.where('revision', '>', world.revision)`,
        after: `.where('revision', '>', world.revision - 1)`,
      },
      {
        file: 'control-plane/world/feed.ts',
        before: 'if (revision !== world.revision + 1) {',
        after: 'if (revision > world.revision + 1) {',
      },
    ],
  },
  {
    name: 'address-rest-ignored',
    bug: 'A freed address is given again at once.',
    seedsMax: 10,
    edits: [
      {
        file: 'control-plane/domains/network/store.ts',
        before: 'until_ms > ${nowMs}',
        after: 'until_ms > ${nowMs} and false',
      },
    ],
  },
  {
    name: 'operation-never-ends',
    faults: ['engine'],
    bug: 'An operation that is past its deadline is left open.',
    seedsMax: 40,
    edits: [
      {
        file: 'control-plane/domains/operations/reconcilers/expire.ts',
        before: 'row.deadlineAtMs <= nowMs)',
        after: 'row.deadlineAtMs <= nowMs - 86_400_000)',
      },
    ],
  },
  {
    name: 'room-not-counted',
    bug: 'Memory that was given away in the same pass is not counted, and the rows of the hosts are not asked.',
    seedsMax: 40,
    edits: [
      {
        file: 'control-plane/domains/placement/ledger.ts',
        before: 'host.allocated.memoryBytes += sign * set.memoryBytes',
        after: '',
      },
      {
        file: 'control-plane/domains/compute/reconcilers/place.ts',
        before:
          'const fitting = placed.filter(({ set, hostId }) => takeRoom(rooms.get(hostId), set, ledger))',
        after: 'const fitting = placed\n  void takeRoom',
      },
    ],
  },
  {
    name: 'two-leaders-without-recheck',
    faults: ['database'],
    bug: 'Every server believes that it leads, and a placement does not look again under the lock.',
    seedsMax: 100,
    edits: [
      {
        file: 'control-plane/leader.ts',
        before: 'const won = await database.tryLead(LEADER_LOCK).catch(() => undefined)',
        after:
          'const won = await database.tryLead(LEADER_LOCK, { shared: true }).catch(() => undefined)',
      },
      {
        file: 'control-plane/domains/compute/reconcilers/place.ts',
        before:
          'const fitting = placed.filter(({ set, hostId }) => takeRoom(rooms.get(hostId), set, ledger))',
        after: 'const fitting = placed\n  void takeRoom',
      },
      {
        file: 'control-plane/domains/compute/reconcilers/place.ts',
        before: 'if (!(await holdPlacementTerm(tx, batch.term))) return false',
        after: 'void holdPlacementTerm',
      },
    ],
  },
  {
    name: 'answer-before-commit',
    bug: 'A create is acknowledged before it is recorded.',
    seedsMax: 40,
    edits: [
      {
        file: 'control-plane/domains/compute/instance-requests.ts',
        before: "await deps\n    .record({ kind: 'create'",
        after: "void deps\n    .record({ kind: 'create'",
      },
      {
        file: 'control-plane/domains/compute/instance-requests.ts',
        before: ".catch(nameTaken('port', portName(row)))",
        after: '.catch(() => undefined)',
      },
    ],
  },
  {
    name: 'removal-not-awaited',
    bug: 'A set that runs is struck from the record as soon as its removal is asked for.',
    seedsMax: 5,
    edits: [
      {
        file: 'control-plane/domains/compute/wanted-writes.ts',
        before: "if (now.hostId !== null || wanted === 'running') continue",
        after: "if (wanted !== 'removed') continue",
      },
    ],
  },
  {
    name: 'snapshot-removes-nothing',
    bug: 'An agent that returns keeps what is not in the snapshot any more.',
    seedsMax: 60,
    edits: [
      {
        file: 'host-agent/wanted/wanted-store.ts',
        before: '? [...this.#keys()].filter((key) => !staged.upserts.has(key))',
        after: '? []',
      },
    ],
  },
  {
    name: 'quota-not-enforced',
    bug: 'Nobody is held to a quota.',
    seedsMax: 20,
    edits: [
      {
        file: 'control-plane/world/quota.ts',
        before: 'v.used > v.most::bigint',
        after: 'v.used > v.most::bigint + 1000',
      },
    ],
  },
  {
    name: 'placed-on-drained-hosts',
    faults: ['drain'],
    bug: 'Placement does not ask whether a host takes new sets, nor looks again under the lock.',
    seedsMax: 20,
    edits: [
      {
        file: 'control-plane/domains/placement/placement.ts',
        before: "  if (host.cordoned) return 'cordoned'\n",
        after: '',
      },
      {
        file: 'control-plane/domains/placement/placement.ts',
        before: '    !host.cordoned &&\n',
        after: '',
      },
    ],
  },
  {
    name: 'apply-done-too-soon',
    faults: ['apply'],
    bug: 'A step of an apply counts as done as soon as its change is recorded.',
    seedsMax: 20,
    edits: [
      {
        file: 'control-plane/domains/apply/run-step.ts',
        before: "  return { at: 'running', id: operation.resourceId, waitsFor: operation.id }",
        after: "  return { at: 'done', id: operation.resourceId }",
      },
    ],
  },
  {
    name: 'prune-leaves-sets',
    faults: ['apply'],
    bug: 'Pruning leaves the sets that a manifest does not name any more.',
    seedsMax: 20,
    edits: [
      {
        file: 'control-plane/domains/apply/plan.ts',
        before: 'if (name === undefined || isDeclared(context, { kind, name })) return []',
        after:
          "if (name === undefined || kind === 'set' || isDeclared(context, { kind, name })) return []",
      },
    ],
  },
  {
    name: 'limits-not-told',
    bug: 'A host is told the same memory limit for every set.',
    seedsMax: 10,
    edits: [
      {
        file: 'control-plane/host-sessions/slice.ts',
        before: '    memoryBytes: set.memoryBytes,',
        after: '    memoryBytes: 64 * 2 ** 20,',
      },
    ],
  },
]
