import { availableParallelism, totalmem } from 'node:os'
import { existsSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { run, type Argv } from '@nubo/runtime'
import { shareOf } from './capacity.ts'
import { nodeProgram } from './checkout.ts'
import { writeJson } from './files.ts'
import { UNDERLAY_BRIDGE, type EngineSpec, type HostEngineOptions } from './host-programs.ts'
import { UNDERLAY_MTU_BYTES, type UnderlayPlan } from './underlay.ts'
import { waitUntil } from './wait.ts'

const JOIN_TIMEOUT_MS = 60_000
const GUARD_READY_TIMEOUT_MS = 30_000

export interface AgentSurroundings {
  plan: UnderlayPlan
  hostContractPorts: readonly number[]
  /** Number of this host, and how many there are. */
  number: number
  hosts: () => number
  nodeEnvironment: Readonly<Record<string, string>>
}

/** How the agent of a host is started. Its configuration is written anew before each start. */
export function agentProgram(options: HostEngineOptions, around: AgentSurroundings): EngineSpec {
  return {
    name: 'agent',
    argv: nodeProgram('host-agent/main.ts', 'run', '--config', options.folders.agentConfig),
    env: around.nodeEnvironment,
    prepare: async () => writeAgentConfig(options, around),
    // Whether it serves is told by the control plane, in the state of the host.
    ready: async () => undefined,
  }
}

/** What ends sets that may run elsewhere when the agent does not: a process of its own, as on every host. */
export function leaseGuardProgram(
  { folders }: HostEngineOptions,
  around: Pick<AgentSurroundings, 'nodeEnvironment'>,
): EngineSpec {
  const beatFile = join(folders.guard, 'guard')
  return {
    name: 'guard',
    argv: nodeProgram('host-agent/guard/main.ts', folders.guard, folders.bootIdFile),
    env: around.nodeEnvironment,
    prepare: async () => rmSync(beatFile, { force: true }),
    // An agent that starts before it would tell the servers at first that nothing is guaranteed.
    ready: (signal) =>
      waitUntil('the lease guard looks', () => existsSync(beatFile), {
        timeoutMs: GUARD_READY_TIMEOUT_MS,
        signal,
      }),
  }
}

/** Gets the agent its certificate with a token of `nubo host invite`. */
export async function joinHost(
  options: HostEngineOptions,
  around: AgentSurroundings,
  token: string,
  place: { netns: string; cgroups: readonly string[] },
): Promise<void> {
  writeAgentConfig(options, around)
  await run({
    ...joinCommand(options.folders.agentConfig, token),
    env: around.nodeEnvironment,
    timeoutMs: JOIN_TIMEOUT_MS,
    ...place,
  })
}

/** Every user of the machine can read the arguments of a program, and could be faster with the token: it is input. */
export function joinCommand(configFile: string, token: string): { argv: Argv; input: string } {
  return {
    argv: nodeProgram('host-agent/main.ts', 'join', '--config', configFile, '-'),
    input: token,
  }
}

function writeAgentConfig(options: HostEngineOptions, around: AgentSurroundings): void {
  const { folders } = options
  const { plan, number } = around
  const disk = statfsSync(folders.disk)
  const machine = {
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    diskFreeBytes: disk.bavail * disk.bsize,
  }
  writeJson(
    folders.agentConfig,
    {
      stateDir: folders.agentState,
      servers: around.hostContractPorts.map((port) => `${plan.serverAddress}:${port}`),
      host: {
        ...shareOf(machine, around.hosts()),
        managementAddress: plan.managementAddress(number),
      },
      docker: { socket: folders.dockerSocket, cgroupParent: options.cgroupParent },
      switch: {
        ovsdbSocket: folders.switchSocket,
        runDir: folders.run,
        datapathType: 'netdev',
        underlayBridge: UNDERLAY_BRIDGE,
        vtepAddress: plan.vtepAddress(number),
      },
      underlayMtuBytes: UNDERLAY_MTU_BYTES,
      bootIdFile: folders.bootIdFile,
    },
    0o600,
  )
}
