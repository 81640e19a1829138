/** What a lab tells about itself. The schema is the contract between the supervisor, `nubo status` and tests. */
import { hostRemarks, type Host } from '@nubo/contracts'
import { run, type Argv } from '@nubo/runtime'
import { z } from 'zod'
import { ownVersion } from './checkout.ts'
import type { Cloud } from './cloud.ts'
import type { LabHome } from './home.ts'
import type { SupervisedProgram } from './supervised.ts'

const processStatus = z.object({
  name: z.string(),
  /** Null for what belongs to the control side. */
  host: z.string().nullable(),
  state: z.enum(['off', 'starting', 'running', 'waiting']),
  pid: z.int().nullable(),
  /** Why it waits for its next start. */
  reason: z.string().nullable(),
  sinceMs: z.number().nullable(),
  restarts: z.int(),
  logFile: z.string(),
})

const hostStatus = z.object({
  name: z.string(),
  power: z.enum(['on', 'off']),
  zone: z.string(),
  rack: z.string(),
  managementAddress: z.string(),
  vtepAddress: z.string(),
  namespace: z.string(),
  cutCables: z.array(z.enum(['mgmt', 'data'])),
  /** What the control plane says of it; null if it was not asked or does not answer. */
  state: z.string().nullable(),
  sets: z.int().nullable(),
  /** What else it says: 'blocked', 'draining', 'maintenance' …; and why the host is not in service. */
  remarks: z.array(z.string()).default([]),
  reason: z.string().nullable().default(null),
})

const brakeStatus = z.object({
  name: z.string(),
  hosts: z.array(z.string()),
  text: z.string(),
  sinceMs: z.number(),
})

export const labStatus = z.object({
  version: z.string(),
  home: z.string(),
  id: z.string(),
  isUp: z.boolean(),
  busyWith: z.string().nullable(),
  api: z.array(z.string()),
  tokenFile: z.string(),
  registry: z.string(),
  processes: z.array(processStatus),
  hosts: z.array(hostStatus),
  /** Why nothing is fenced now; empty while something may be, null if the control plane does not answer. */
  brakes: z.array(brakeStatus).nullable().default(null),
  /** Engine → version. */
  engines: z.record(z.string(), z.string()),
})
export type LabStatus = z.infer<typeof labStatus>
export type ProcessStatus = z.infer<typeof processStatus>

const CONTROL_PLANE_TIMEOUT_MS = 2_000

export async function readStatus(
  cloud: Cloud,
  home: LabHome,
  engines: Record<string, string>,
): Promise<LabStatus> {
  const known = await askControlPlane(cloud)
  return {
    version: ownVersion(),
    home: home.folder,
    id: home.id,
    isUp: cloud.isUp,
    busyWith: cloud.busyWith ?? null,
    api: cloud.control.apiAddresses,
    tokenFile: home.operatorTokenFile,
    registry: cloud.control.registryAddress,
    processes: [
      { ...statusOf('supervisor', home), state: 'running', pid: process.pid },
      ...cloud.control.programs.map((program) => programStatus(program, home, null)),
      ...cloud.hosts.flatMap(({ machine }) =>
        machine.programs.map((program) => programStatus(program, home, machine.name)),
      ),
    ],
    hosts: cloud.hosts.map(({ record, machine }) => ({
      name: record.name,
      power: machine.isOn ? 'on' : 'off',
      zone: record.zone,
      rack: record.rack,
      managementAddress: machine.managementAddress,
      vtepAddress: machine.vtepAddress,
      namespace: cloud.underlay.namespaceOf(record.name),
      cutCables: [...machine.cutCables],
      ...(known?.hosts.get(record.name) ?? { state: null, sets: null, remarks: [], reason: null }),
    })),
    brakes: known?.brakes ?? null,
    engines,
  }
}

function statusOf(name: string, home: LabHome): ProcessStatus {
  return {
    name,
    host: null,
    state: 'off',
    pid: null,
    reason: null,
    sinceMs: null,
    restarts: 0,
    logFile: home.logOf(name),
  }
}

function programStatus(
  program: SupervisedProgram,
  home: LabHome,
  host: string | null,
): ProcessStatus {
  const { state } = program
  return {
    ...statusOf(program.name, home),
    host,
    state: state.at,
    pid: program.pid ?? null,
    reason: state.at === 'waiting' ? state.reason : null,
    sinceMs: state.at === 'off' ? null : state.sinceMs,
    restarts: program.restarts,
  }
}

type KnownHost = Pick<LabStatus['hosts'][number], 'state' | 'sets' | 'remarks' | 'reason'>

/** Undefined if it does not answer: the status says what it knows, and that shows as null. */
async function askControlPlane(
  cloud: Cloud,
): Promise<{ hosts: Map<string, KnownHost>; brakes: LabStatus['brakes'] } | undefined> {
  if (!cloud.control.servers.some((server) => server.state.at === 'running')) return undefined
  const within = { timeoutMs: CONTROL_PLANE_TIMEOUT_MS }
  const client = cloud.client()
  try {
    const [hosts, brakes] = await Promise.all([
      client.hostList({}, within),
      client.brakeList({}, within),
    ])
    return {
      hosts: new Map(hosts.items.map((host) => [host.name, knownHost(host)])),
      brakes: brakes.items.map(({ name, hosts: lost, reason, since }) => ({
        name,
        hosts: lost,
        text: reason.text,
        sinceMs: since,
      })),
    }
  } catch {
    return undefined
  }
}

function knownHost(host: Host): KnownHost {
  const { state, sets } = host
  return { state, sets, remarks: hostRemarks(host), reason: host.reason?.text ?? null }
}

const engineCommands: Readonly<Record<string, Argv>> = {
  postgres: ['/usr/lib/postgresql/15/bin/postgres', '--version'],
  openvswitch: ['ovsdb-server', '--version'],
  docker: ['dockerd', '--version'],
  containerd: ['containerd', '--version'],
  runc: ['runc', '--version'],
  registry: ['docker-registry', '--version'],
}

/** Versions of the engines that are installed; one that does not answer is left out. */
export async function readEngineVersions(): Promise<Record<string, string>> {
  const entries = await Promise.all(
    Object.entries(engineCommands).map(
      async ([name, argv]): Promise<[string, string] | undefined> => {
        try {
          const { stdout } = await run({ argv, timeoutMs: 5_000 })
          const version = /\d+\.\d+(\.\d+)?/.exec(stdout)?.[0]
          return version === undefined ? undefined : [name, version]
        } catch {
          return undefined
        }
      },
    ),
  )
  return {
    node: process.versions.node,
    ...Object.fromEntries(entries.filter((entry) => entry !== undefined)),
  }
}
