import type { HostRow } from '../rows.ts'

/** A host that is ready and of which nothing else is known. A NEW COLUMN OF HOSTS NEEDS A VALUE HERE. */
export function plainHost(changes: Partial<HostRow> = {}): HostRow {
  return {
    // proof: ids of tests; nothing reads their form
    id: 'h1' as HostRow['id'],
    name: 'h1',
    region: 'test',
    zone: 'zone-1',
    rack: 'rack-1',
    roles: ['compute'],
    labels: {},
    state: 'ready',
    reason: null,
    sinceMs: 1,
    cordoned: false,
    inventory: null,
    capacity: null,
    reserve: null,
    bootId: null,
    vtepAddress: null,
    underlayMtuBytes: null,
    inviteSha256: null,
    inviteExpiresAtMs: null,
    certificateSerial: null,
    serverName: null,
    sessionId: null,
    createdAtMs: 1,
    stopsWithinMs: null,
    probeAddress: null,
    accelerator: null,
    vmsProblem: null,
    maintenance: false,
    fence: null,
    fenceAsked: null,
    mustClean: false,
    power: null,
    drain: null,
    ...changes,
  }
}
