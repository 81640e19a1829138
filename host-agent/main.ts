/**
 * The agent of a host: `node host-agent/main.ts run|join`. The only file of the agent that makes adapters.
 */
import { chmodSync, mkdirSync, readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { explain, isPlatformError, PlatformError } from '@nubo/base'
import { createBootClock, openLog, systemRandom, type Log } from '@nubo/runtime/process'
import { createAgent, type AgentSettings, type HostResources } from './agent.ts'
import { readBootId } from './boot-id.ts'
import { readAgentConfig, type AgentConfig } from './config.ts'
import { SetCgroups } from './drivers/set/docker/cgroups.ts'
import { DockerSetDriver } from './drivers/set/docker/docker-set-driver.ts'
import { OpenVswitchSwitchDriver } from './drivers/switch/open-vswitch/open-vswitch-switch-driver.ts'
import { openGuardFiles } from './guard/guard-files.ts'
import type { LeaseKeeper } from './guard/lease-keeper.ts'
import { readInventory } from './inventory.ts'
import { readIdentity, type Identity } from './join/identity.ts'
import { serverImageTokens } from './join/image-tokens.ts'
import { joinRegion, renewIdentity } from './join/join.ts'
import { keepRenewed } from './join/renewal.ts'
import { UdpProbes } from './probes/udp-probes.ts'
import type { UnderlayProbes } from './probes/underlay-probes.ts'
import { webSocketConnector, webSocketStreamDialer } from './session/web-socket.ts'
import { openSqliteDisk } from './wanted/disk.ts'

// Leases are on the disk, for other processes and later lives.
const bootClock = createBootClock()
const system = { clock: bootClock, random: systemRandom }
const DEFAULT_CONFIG = '/etc/nubo/agent.json'
const USAGE = `usage: agent run  [--config ${DEFAULT_CONFIG}]
       agent join [--config ${DEFAULT_CONFIG}] TOKEN
       agent join [--config ${DEFAULT_CONFIG}] -       (reads the token from the input)`

async function main(argv: readonly string[]): Promise<void> {
  const [verb, ...rest] = argv
  const { values, positionals } = parseArgs({
    args: rest,
    options: { config: { type: 'string', default: DEFAULT_CONFIG } },
    allowPositionals: true,
  })
  const [token] = positionals
  if (verb === 'run' && positionals.length === 0) return run(readAgentConfig(values.config))
  if (verb === 'join' && token !== undefined && positionals.length === 1)
    // Arguments can be read by every user of the machine while the program runs; its input cannot.
    return join(readAgentConfig(values.config), token === '-' ? readFileSync(0, 'utf8') : token)
  throw new PlatformError('INVALID_INPUT', { next: USAGE }, { message: USAGE })
}

async function join(config: AgentConfig, token: string): Promise<void> {
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 })
  const identity = await joinRegion({ token, stateDir: config.stateDir, clock: bootClock })
  process.stdout.write(`${identity.hostName} has joined as host ${identity.hostId}\n`)
}

async function run(config: AgentConfig): Promise<void> {
  const log = openLog({ name: 'host-agent', level: config.logLevel })
  const known = readIdentity(config.stateDir)
  if (known === undefined)
    throw new PlatformError(
      'SETUP_FAILED',
      {
        stateDir: config.stateDir,
        next: "run 'nubo host invite' on a server and join with its token",
      },
      { message: 'This host has not joined a region yet.' },
    )
  let identity: Identity = known
  // Wanted state holds the environments of tenants; somebody may have made the folder for everybody to read.
  chmodSync(config.stateDir, 0o700)
  const disk = openSqliteDisk({
    path: path.join(config.stateDir, 'state.db'),
    onDamaged: (error) =>
      log.error('the state of the agent was damaged and begins anew', { error }),
  })
  const drivers = makeDrivers(config, log)
  const agentVersion = readVersion()
  const settings = settingsOf(config, identity)
  const agent = createAgent({
    ...drivers,
    ...system,
    log,
    disk,
    ...makeGuards(config, { log, settings }),
    connector: webSocketConnector(() => identity),
    streamDialer: webSocketStreamDialer(() => identity),
    imageTokens: serverImageTokens({
      clock: bootClock,
      identity: () => identity,
      servers: () => agent.servers,
    }),
    inventory: () =>
      readInventory({
        stateDir: config.stateDir,
        agentVersion,
        engines: engineVersions(drivers.setDriver.version(), drivers.switchDriver.version()),
      }),
    settings,
  })
  const stopping = new AbortController()
  onSignals(log, () => stopping.abort(new Error('the agent stops')))
  const { hostId, hostName } = identity
  log.info('the agent starts', { hostId, hostName, agentVersion })
  agent.start()
  await keepRenewed({
    ...system,
    log,
    identity: () => identity,
    renew: async (before, signal) => {
      const { servers } = agent
      const { stateDir } = config
      identity = await renewIdentity({
        identity: before,
        servers,
        stateDir,
        clock: bootClock,
        signal,
      })
    },
    signal: stopping.signal,
  })
  await agent.stop()
  drivers.setDriver.close()
  await drivers.switchDriver.close()
  disk.close()
  log.info('the agent has stopped; what runs on the host goes on')
}

function makeDrivers(
  config: AgentConfig,
  log: Log,
): { setDriver: DockerSetDriver; switchDriver: OpenVswitchSwitchDriver } {
  const setDriver = new DockerSetDriver({
    socketPath: config.docker.socket,
    cgroupParent: config.docker.cgroupParent,
    clock: bootClock,
    log,
    parallelStartsMax: config.parallelStartsMax,
  })
  const { tunnelUdpPort, ...options } = config.switch
  const switchDriver = new OpenVswitchSwitchDriver(
    { ...options, tunnel: { udpPort: tunnelUdpPort } },
    system,
  )
  return { setDriver, switchDriver }
}

/** The end of the lease without the agent, and the second sign of life. */
function makeGuards(
  config: AgentConfig,
  { log, settings }: { log: Log; settings: AgentSettings },
): { lease: LeaseKeeper; probes: UnderlayProbes } {
  const cgroups = new SetCgroups({ parent: config.docker.cgroupParent })
  const lease = openGuardFiles({
    folder: path.join(config.stateDir, 'guard'),
    bootId: settings.bootId,
    nowMs: () => bootClock.monotonicMs(),
    cgroupOf: (setId) => cgroups.parentOf(setId),
  })
  const probes = new UdpProbes({
    ...system,
    log,
    hostId: settings.hostId,
    bind: { address: config.switch.vtepAddress, port: config.probePort },
  })
  return { lease, probes }
}

function settingsOf(config: AgentConfig, identity: Identity): AgentSettings {
  return {
    hostId: identity.hostId,
    bootId: readBootId({ bootIdFile: config.bootIdFile }),
    servers: [...new Set([...config.servers, ...identity.servers])],
    capacity: config.host.capacity ?? wholeMachine(config.stateDir),
    reserve: config.host.reserve,
    vtepAddress: config.switch.vtepAddress,
    underlayMtuBytes: config.underlayMtuBytes,
    parallelStartsMax: config.parallelStartsMax,
    parallelPullsMax: config.parallelPullsMax,
  }
}

function onSignals(log: Log, stop: () => void): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info('stopping', { signal })
      stop()
    })
  }
  process.on('unhandledRejection', (error) => {
    // A defect: a new life of the agent adopts what runs, which is safer than going on with half a state.
    log.error('an error that nobody handled ends the agent', { error })
    process.exit(1)
  })
}

function engineVersions(
  sets: { name: string; version: string } | null,
  switchVersion: string,
): Record<string, string> {
  return {
    ...(sets === null ? {} : { [sets.name]: sets.version }),
    // 'Open vSwitch 3.1.0'
    ...(switchVersion === '' ? {} : { openvswitch: switchVersion.split(' ').at(-1) ?? '' }),
  }
}

function wholeMachine(stateDir: string): HostResources {
  const disk = statfsSync(stateDir)
  return {
    cpuMillis: availableParallelism() * 1_000,
    memoryBytes: totalmem(),
    diskBytes: disk.bsize * disk.bavail,
  }
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('./package.json', import.meta.url), 'utf8'),
  )
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : ''
}

try {
  await main(process.argv.slice(2))
  // Nothing is left to do; a timer or a socket that is left must not keep the process.
  process.exit(0)
} catch (error) {
  const next = isPlatformError(error) ? error.details['next'] : undefined
  process.stderr.write(
    `${isPlatformError(error) ? error.code : 'INTERNAL'}: ${explain(error)}\n${typeof next === 'string' ? `next: ${next}\n` : ''}`,
  )
  process.exit(1)
}
