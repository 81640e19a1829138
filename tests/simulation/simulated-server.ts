import type {
  CertificateAuthority,
  ImageRegistry,
  Region,
  RegionDeps,
  Tables,
} from '@nubo/control-plane'
import { createRegion, databaseHostCommands } from '@nubo/control-plane'
import type { Random } from '@nubo/base'
import { silentLog, type ProcessStatus } from '@nubo/runtime'
import type { SharedPglite } from './pglite-database.ts'
import type { MachineClock, SimulatedProcess } from './process.ts'

/** One server of the control plane: a machine with a clock, and its processes one after the other. */
export interface SimulatedServer {
  readonly name: string
  /** Where hosts dial it. */
  readonly address: string
  readonly clock: MachineClock
  process: SimulatedProcess
  region: Region
  /** Whether the present process has started completely. */
  isUp: boolean
  isStarting: boolean
}

export const SERVER_ADDRESSES = ['s1:1', 's2:1'] as const

/** A control plane as `main.ts` makes it, without listeners, in one simulated process. */
export function createSimulatedRegion(deps: {
  name: string
  process: SimulatedProcess
  database: SharedPglite
  random: Random
  certificates: CertificateAuthority
  folder: string
  extra: Partial<RegionDeps>
}): Region {
  const { name, process, random } = deps
  const database = deps.database.connect<Tables>(process)
  return createRegion({
    database,
    clock: process.clock,
    random,
    log: silentLog,
    about: { region: 'sim', serverName: name, version: 'sim' },
    hostContract: { address: `${name}:1`, servers: SERVER_ADDRESSES },
    hostCommands: databaseHostCommands(database),
    probeKey: '7'.repeat(64),
    certificates: deps.certificates,
    registry: emptyRegistry,
    registryTokens: {
      issue: () => ({ token: 'simulated', expiresAtMs: process.clock.nowMs() + 60_000 }),
    },
    importLock: {
      whileImporting: (work) => work(new AbortController().signal),
      whileCollecting: () => Promise.resolve(true),
    },
    uploadFolder: deps.folder,
    overcommit: { cpu: 4, memory: 1 },
    reserveHosts: 0,
    processStatus: unwatchedProcess,
    ...deps.extra,
  })
}

const emptyRegistry: ImageRegistry = {
  address: 'simulated:1',
  hasBlob: () => Promise.resolve(true),
  putBlob: () => Promise.resolve(),
  putManifest: () => Promise.reject(new Error('nothing is imported in a simulation')),
  deleteManifest: () => Promise.resolve(),
  collectGarbage: () => Promise.resolve(),
}

/** The simulated servers are one process; what it measures of itself would differ from run to run. */
const unwatchedProcess = (): ProcessStatus => ({
  uptimeMs: 0,
  residentBytes: 0,
  heapUsedBytes: 0,
  loopDelay: { now: { windowMs: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 }, before: null },
})
