/** The control side of a lab: the database, the image registry, and two server processes. */
import { mkdirSync } from 'node:fs'
import type { Clock, Random } from '@nubo/base'
import { run, start, type Log, type PostgresServer } from '@nubo/runtime'
import type { LabCgroups } from './cgroups.ts'
import { nodeProgram } from './checkout.ts'
import { superviseDatabase } from './database.ts'
import { writeJson } from './files.ts'
import type { LabHome } from './home.ts'
import { lastLines, rotateLog } from './logs.ts'
import type { LabState } from './state.ts'
import { SupervisedProgram } from './supervised.ts'
import { isListening, waitUntil } from './wait.ts'

const PREPARE_TIMEOUT_MS = 120_000
const SERVER_READY_TIMEOUT_MS = 60_000
const REGISTRY_READY_TIMEOUT_MS = 30_000
const CGROUP = 'control'
const LOOPBACK = '127.0.0.1'
export const REGION = 'local'

export interface ControlOptions {
  home: LabHome
  state: LabState
  serverAddress: string
  cgroups: LabCgroups
  /** Passed on to every Node process. */
  nodeEnvironment: Readonly<Record<string, string>>
  clock: Clock
  random: Random
  log: Log
}

export class Control {
  readonly database: SupervisedProgram
  readonly registry: SupervisedProgram
  readonly servers: readonly SupervisedProgram[]
  readonly #options: ControlOptions
  readonly #postgres: PostgresServer

  constructor(options: ControlOptions) {
    this.#options = options
    const { home, state, serverAddress, cgroups } = options
    const { clock, random, log } = options
    const { server, program } = superviseDatabase({
      folder: home.postgres,
      runFolder: home.postgresRun,
      logFile: home.logOf('postgres'),
      cgroups: cgroups.enter(CGROUP),
      clock,
      random,
      log,
    })
    this.#postgres = server
    this.database = program
    this.registry = this.#supervise('registry', {
      start: () => this.#start('registry', ['docker-registry', 'serve', home.registryConfig], {}),
      ready: (signal) =>
        waitUntil(
          'the registry listens',
          () => isListening({ host: serverAddress, port: state.ports.registry }),
          {
            timeoutMs: REGISTRY_READY_TIMEOUT_MS,
            signal,
          },
        ),
    })
    this.servers = serverNames.map((name, index) =>
      this.#supervise(`server-${name}`, {
        start: () =>
          this.#start(
            `server-${name}`,
            nodeProgram('control-plane/main.ts', 'run', '--config', home.serverConfig(name)),
            options.nodeEnvironment,
          ),
        ready: (signal) =>
          waitUntil(
            `server ${name} listens`,
            () => isListening({ host: LOOPBACK, port: state.ports.api[index] ?? 0 }),
            { timeoutMs: SERVER_READY_TIMEOUT_MS, signal },
          ),
      }),
    )
  }

  get programs(): readonly SupervisedProgram[] {
    return [this.database, this.registry, ...this.servers]
  }

  get apiAddresses(): string[] {
    return this.#options.state.ports.api.map((port) => `http://${LOOPBACK}:${port}`)
  }

  get registryAddress(): string {
    return `${this.#options.serverAddress}:${this.#options.state.ports.registry}`
  }

  /** Makes what a new cloud needs once: tables, keys, certificates, the operator's token. Idempotent. */
  async prepare(): Promise<void> {
    const { home, nodeEnvironment, cgroups } = this.#options
    mkdirSync(home.secrets, { recursive: true, mode: 0o700 })
    mkdirSync(home.registryStorage, { recursive: true, mode: 0o700 })
    for (const [index, name] of serverNames.entries()) {
      mkdirSync(home.serverData(name), { recursive: true, mode: 0o700 })
      writeJson(home.serverConfig(name), this.#serverConfig(name, index), 0o600)
    }
    await run({
      argv: nodeProgram(
        'control-plane/main.ts',
        'prepare',
        '--config',
        home.serverConfig(serverNames[0]),
      ),
      env: nodeEnvironment,
      cgroups: cgroups.enter(CGROUP),
      timeoutMs: PREPARE_TIMEOUT_MS,
    })
    // What the command line looks for when it is told nothing else.
    writeJson(
      home.cliConfig,
      { servers: this.apiAddresses, tokenFile: home.operatorTokenFile },
      0o600,
    )
  }

  async startServers(): Promise<void> {
    await Promise.all([this.registry, ...this.servers].map((program) => program.turnOn()))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.servers, this.registry].map((program) => program.turnOff()))
    await this.database.turnOff({ graceMs: 20_000 })
  }

  #serverConfig(name: string, index: number): Record<string, unknown> {
    const { home, state, serverAddress } = this.#options
    const { api, hostContract } = state.ports
    return {
      serverName: name,
      databaseUrl: state.databaseUrl ?? this.#postgres.url,
      keyFile: `${home.secrets}/key`,
      api: { host: LOOPBACK, port: api[index] },
      hostContract: { host: serverAddress, port: hostContract[index] },
      peers: {
        api: api.map((port) => `${LOOPBACK}:${port}`),
        hostContract: hostContract.map((port) => `${serverAddress}:${port}`),
      },
      registry: {
        address: this.registryAddress,
        storageDir: home.registryStorage,
        configFile: home.registryConfig,
      },
      dataDir: home.serverData(name),
      region: REGION,
      bootstrapTokenFile: home.operatorTokenFile,
      caFile: home.caFile,
    }
  }

  #start(
    name: string,
    argv: Parameters<typeof start>[0]['argv'],
    env: Readonly<Record<string, string>>,
  ) {
    const { home, cgroups } = this.#options
    rotateLog(home.logOf(name))
    return start({ argv, env, logFile: home.logOf(name), cgroups: cgroups.enter(CGROUP) })
  }

  #supervise(
    name: string,
    how: Pick<ConstructorParameters<typeof SupervisedProgram>[0], 'start' | 'ready'>,
  ): SupervisedProgram {
    const { home, clock, random, log } = this.#options
    return new SupervisedProgram({
      name,
      ...how,
      lastWords: () => lastLines(home.logOf(name)),
      clock,
      random,
      log,
    })
  }
}

// Two, so that everything that must hold with several servers is tried every day.
const serverNames = ['s1', 's2'] as const
