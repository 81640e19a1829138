import { PlatformError, type Clock } from '@nubo/base'
import { Collection, type RowReader } from './collection.ts'
import type { WorldKind } from './commit.ts'
import { ChangeHistory } from './history.ts'
import { outlineOf, type PastChangeSet } from './outline.ts'
import {
  isLeaving,
  type BrakeRow,
  type AppliedRow,
  type HostRow,
  type ImageRow,
  type MemberRow,
  type ManifestRow,
  type NetworkRow,
  type OperationRow,
  type PortRow,
  type ProjectRow,
  type Row,
  type SetFoundRow,
  type SetRow,
  type SubnetRow,
  type TokenRow,
  type VmFoundRow,
  type VmRow,
} from './rows.ts'
import { Snapshot } from './snapshot.ts'

/** One change of one row, as listeners see it. */
export interface Change {
  readonly kind: WorldKind
  readonly id: string
  /** Undefined when the row was not there before. */
  readonly before: { readonly id: string } | undefined
  /** Undefined when the row is gone. */
  readonly after: { readonly id: string } | undefined
}

/** Everything that one revision changed; the world is at `revision` when listeners hear of it. */
export interface ChangeSet {
  readonly revision: number
  readonly changes: readonly Change[]
}

/** What views are made of: the world as it is, or as it was at a revision. */
export type WorldReader = { readonly revision: number } & {
  readonly [Kind in WorldKind]: World[Kind] extends Collection<infer Row, infer IndexName>
    ? RowReader<Row, IndexName>
    : never
}

function named(row: { projectId: string; name: string }): string {
  return `${row.projectId}/${row.name}`
}

/** Also by kind, since some reconcilers look for their own among thousands. */
const openKeys = (row: OperationRow): readonly string[] | null =>
  row.endedAtMs === null ? ['yes', row.kind] : null

/**
 * The read model of one server process: all rows of the region in memory at a known revision.
 * Only the feed reader writes to it. Listeners are called synchronously, in order, and must not throw.
 */
export class World {
  readonly account = new Collection<Row<'account'>, 'name'>({ name: (row) => row.name })
  readonly project = new Collection<ProjectRow, 'name'>({ name: (row) => row.name })
  readonly member = new Collection<MemberRow, 'pair' | 'project' | 'account'>({
    pair: (row) => `${row.projectId}/${row.accountId}`,
    project: (row) => row.projectId,
    account: (row) => row.accountId,
  })
  readonly token = new Collection<TokenRow, 'secret' | 'project' | 'account'>({
    secret: (row) => row.secretSha256,
    project: (row) => row.projectId ?? '',
    account: (row) => row.accountId,
  })
  readonly host = new Collection<HostRow, 'name' | 'server' | 'lost'>({
    name: (row) => row.name,
    lost: (row) => (row.fence === null && row.fenceAsked === null ? null : 'yes'),
    server: (row) => row.serverName,
  })
  readonly network = new Collection<NetworkRow, 'name' | 'project'>({
    name: named,
    project: (row) => row.projectId,
  })
  readonly subnet = new Collection<SubnetRow, 'name' | 'project' | 'network'>({
    name: named,
    project: (row) => row.projectId,
    network: (row) => row.networkId,
  })
  readonly image = new Collection<ImageRow, 'name' | 'project'>({
    name: named,
    project: (row) => row.projectId,
  })
  readonly set = new Collection<
    SetRow,
    'name' | 'project' | 'host' | 'image' | 'unplaced' | 'leaving'
  >({
    name: named,
    project: (row) => row.projectId,
    host: (row) => row.hostId,
    image: (row) => row.containers.map((container) => container.imageId),
    unplaced: (row) => (row.hostId === null ? 'yes' : null),
    // By the host that they leave.
    leaving: (row) => (isLeaving(row) ? row.hostId : null),
  })
  readonly setFound = new Collection<SetFoundRow, 'host'>({ host: (row) => row.hostId })
  readonly vm = new Collection<
    VmRow,
    'name' | 'project' | 'host' | 'image' | 'unplaced' | 'leaving'
  >({
    name: named,
    project: (row) => row.projectId,
    host: (row) => row.hostId,
    image: (row) => row.imageId,
    unplaced: (row) => (row.hostId === null ? 'yes' : null),
    leaving: (row) => (isLeaving(row) ? row.hostId : null),
  })
  readonly vmFound = new Collection<VmFoundRow, 'host'>({ host: (row) => row.hostId })
  readonly port = new Collection<
    PortRow,
    'name' | 'project' | 'network' | 'subnet' | 'instance' | 'host'
  >({
    name: named,
    project: (row) => row.projectId,
    network: (row) => row.networkId,
    subnet: (row) => row.subnetId,
    // A row of a server that does not know the column is without it.
    instance: (row) => row.setId ?? row.vmId,
    host: (row) => row.hostId,
  })
  readonly operation = new Collection<OperationRow, 'project' | 'resource' | 'open'>({
    project: (row) => row.projectId ?? '',
    resource: (row) => row.resourceId,
    open: openKeys,
  })
  readonly brake = new Collection<BrakeRow, never>({})
  readonly manifest = new Collection<ManifestRow, 'name'>({ name: named })
  readonly applied = new Collection<AppliedRow, 'manifest'>({ manifest: (row) => row.manifestId })

  readonly #clock: Clock
  readonly #listeners = new Set<(changes: ChangeSet) => void>()
  readonly #waiters = new Set<{ revision: number; resolve: () => void }>()
  readonly #snapshots = new Set<Snapshot<WorldReader>>()
  /** Undefined until the first rows have come: nobody can resume from before them. */
  #history: ChangeHistory | undefined
  #revision = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get revision(): number {
    return this.#revision
  }

  /** Called by the feed reader only. */
  apply(
    revision: number,
    rows: readonly { kind: WorldKind; id: string; body: { readonly id: string } | undefined }[],
  ): void {
    const changes = rows.map(({ kind, id, body }): Change => {
      // proof: the feed gives bodies of the kind's own table; Collection<Row> is only narrowed here
      const collection = this[kind] as unknown as Collection<{ readonly id: string }, never>
      const before = body === undefined ? collection.remove(id) : collection.put(body)
      for (const snapshot of this.#snapshots) snapshot.keep(kind, id, before)
      return { kind, id, before, after: body }
    })
    this.#revision = revision
    const set: ChangeSet = { revision, changes }
    if (this.#history === undefined) this.#history = new ChangeHistory(revision)
    else this.#history.push(outlineOf(set))
    for (const listener of this.#listeners) listener(set)
    for (const waiter of this.#waiters) {
      if (waiter.revision > revision) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  /** Returns a function that ends the subscription. */
  subscribe(listener: (changes: ChangeSet) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The oldest change sets after `revision`; undefined when the history does not reach back that far. */
  changesSince(revision: number, setsMax = Infinity): PastChangeSet[] | undefined {
    if (revision >= this.#revision) return []
    return this.#history?.since(revision, setsMax)
  }

  /** The world as it is now, for a reader that takes its time. Must be closed. */
  snapshot(): Snapshot<WorldReader> {
    const snapshot = new Snapshot<WorldReader>(this, () => this.#snapshots.delete(snapshot))
    this.#snapshots.add(snapshot)
    return snapshot
  }

  /** Resolves once the world is at least at `revision`. DEADLINE_EXCEEDED after `timeoutMs`. */
  reached(revision: number, timeoutMs = 10_000): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => {
        this.#waiters.delete(waiter)
        reject(
          new PlatformError('DEADLINE_EXCEEDED', {
            waitedFor: `revision ${revision}`,
            at: this.#revision,
          }),
        )
      })
      const waiter = {
        revision,
        resolve: () => {
          timer.cancel()
          resolve()
        },
      }
      this.#waiters.add(waiter)
    })
  }
}
