import type { HostId } from '@nubo/base'
import type { Ask } from '../chooser.ts'
import type { LedgerSet } from '../ledger.ts'
import type { HostFacts } from '../placement.ts'

export const MIB = 2 ** 20

// proof of the cast: any text names a host in these tests
export const idOf = (n: number): HostId => `host-${n}` as HostId

/** Two zones of two racks each, by the number of the host. */
export function facts(n: number, change: Partial<HostFacts> = {}): HostFacts {
  return {
    id: idOf(n),
    name: `h${String(n).padStart(4, '0')}`,
    zone: `z${n % 2}`,
    rack: `r${n % 4}`,
    roles: ['compute'],
    labels: {},
    state: 'ready',
    cordoned: false,
    maintenance: false,
    accelerator: null,
    capacity: { cpuMillis: 4_000, memoryBytes: 1_024 * MIB },
    ...change,
  }
}

export function taken(id: string, change: Partial<LedgerSet> = {}): LedgerSet {
  return {
    id,
    hostId: idOf(1),
    cpuMillis: 500,
    memoryBytes: 64 * MIB,
    group: 'p/web',
    digests: ['d1'],
    isElsewhere: false,
    ...change,
  }
}

export function ask(change: Partial<Ask> = {}): Ask {
  return {
    kind: 'set',
    hostId: null,
    hostLabels: {},
    spread: 'host',
    antiAffinity: null,
    cpuMillis: 500,
    memoryBytes: 64 * MIB,
    group: 'p/web',
    digests: ['d1'],
    isElsewhere: false,
    isRecovering: false,
    ...change,
  }
}
