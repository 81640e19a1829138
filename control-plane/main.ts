import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isPlatformError, newId, PlatformError, sleep } from '@nubo/base'
import {
  createHttpServer,
  migrate,
  openDatabase,
  openLog,
  readMigrations,
  requireSchema,
  systemClock,
  systemRandom,
  watchProcess,
  type Database,
  type Log,
} from '@nubo/runtime'
import { openCertificateAuthority } from './adapters/certificates.ts'
import { HostListener } from './adapters/host-listener.ts'
import { createImportLock } from './adapters/import-lock.ts'
import { prepareKeyFile, readKeyFile } from './adapters/key-file.ts'
import { writePrivateFile } from './adapters/private-file.ts'
import { writeRegistryConfig } from './adapters/registry-config.ts'
import { createRedfishPower } from './adapters/redfish.ts'
import { createRegistryClient } from './adapters/registry.ts'
import { createStreamUpgrade } from './adapters/stream-upgrade.ts'
import { bootstrapRegion } from './bootstrap.ts'
import { caFileOf, parseServerConfig, type ServerConfig } from './config.ts'
import { createSecretStore } from './domains/fleet/index.ts'
import { createRegistryTokens } from './domains/images/index.ts'
import { databaseHostCommands } from './host-sessions/index.ts'
import { createRegion, type Region } from './region.ts'
import type { Tables } from './world/index.ts'
import { version } from './version.ts'

/**
 * A server process of the control plane.
 *   node control-plane/main.ts prepare --config FILE   makes tables, keys, certificates and the operator's token; idempotent
 *   node control-plane/main.ts run --config FILE       serves until SIGTERM
 */
const clock = systemClock
const random = systemRandom
const PROBE_KEY_BYTES = 32
/** Filling a new column of a large table takes longer than any statement of a server may. */
const MIGRATION_STATEMENT_TIMEOUT_MS = 600_000
/** A busy caller sends its next request on the same connection well within this, and so learns that it ends. */
const DRAIN_MS = 300
/** A change waits at most 2 s for its own server to see it. */
const LAST_ANSWERS_MS = 3_000

const migrations = () => readMigrations(join(import.meta.dirname, 'migrations'))

async function openKeys(config: ServerConfig, database: Database<Tables>) {
  const secrets = createSecretStore({ database, key: readKeyFile(config.keyFile), clock, random })
  const certificates = await openCertificateAuthority({
    secrets,
    clock,
    random,
    region: config.region,
  })
  const probeKey = await secrets.putIfAbsent('probe-key', () =>
    Promise.resolve(Buffer.from(random.bytes(PROBE_KEY_BYTES)).toString('hex')),
  )
  return { certificates, secrets, signer: await certificates.registrySigner(), probeKey }
}

async function prepare(config: ServerConfig, log: Log): Promise<void> {
  const database = openDatabase<Tables>({
    url: config.databaseUrl,
    clock,
    log,
    connectionsMax: 4,
    statementTimeoutMs: MIGRATION_STATEMENT_TIMEOUT_MS,
  })
  try {
    const applied = await migrate(database.query, await migrations())
    if (applied.length > 0) log.info('migrations were applied', { applied })
    prepareKeyFile(config.keyFile)
    const { certificates } = await openKeys(config, database)
    writePrivateFile(caFileOf(config), certificates.caPem, 0o644)
    await writeRegistryConfig({ ...config.registry, certificates })
    await bootstrapRegion({ database, clock, random, tokenFile: config.bootstrapTokenFile })
  } finally {
    await database.close()
  }
}

function limitsOf(config: ServerConfig) {
  return {
    overcommit: config.overcommit,
    quotaDefaults: config.quotaDefaults,
    auditRetention: config.audit,
    brakeLimits: config.brake,
    drainLimits: config.drain,
    reserveHosts: config.reserveHosts,
  }
}

async function serve(config: ServerConfig, log: Log): Promise<{ stop: () => Promise<void> }> {
  const ownProcess = watchProcess(clock)
  const database = openDatabase<Tables>({ url: config.databaseUrl, clock, log })
  await requireSchema(database.query, await migrations())
  const { certificates, secrets, signer, probeKey } = await openKeys(config, database)
  const uploadFolder = join(config.dataDir, 'uploads')
  // Uploads that a killed process was working on; the folder is of this server alone.
  rmSync(uploadFolder, { recursive: true, force: true })
  const registryTokens = createRegistryTokens({ ...signer, clock, random })
  const region = createRegion({
    database,
    clock,
    random,
    log,
    about: { region: config.region, serverName: config.serverName, version },
    hostContract: {
      address: `${config.hostContract.host}:${config.hostContract.port}`,
      servers: config.peers.hostContract,
    },
    hostCommands: databaseHostCommands(database),
    probeKey,
    certificates,
    registry: createRegistryClient({
      address: config.registry.address,
      caPem: certificates.caPem,
      tokens: registryTokens,
      configFile: config.registry.configFile,
      storageDir: config.registry.storageDir,
    }),
    registryTokens,
    importLock: createImportLock({ database, clock }),
    uploadFolder,
    ...limitsOf(config),
    power: createRedfishPower({ secrets, log }),
    processStatus: () => ownProcess.status(),
  })
  await region.start()
  const hosts = new HostListener({
    bind: config.hostContract,
    serverName: config.serverName,
    addresses: hostAddresses(config),
    certificates,
    sessions: region.sessions,
    calls: region.hostCalls,
    admits: region.fleet.membership.admits,
    onRefused: region.onHostRefused,
    clock,
    random,
    log,
  })
  await hosts.start()
  const http = createHttpServer({
    bindings: region.bindings,
    authorize: region.authorize,
    onRefused: region.onRefused,
    newRequestId: () => newId<'request'>(clock, random),
    onUpgrade: createStreamUpgrade({ streams: region.sessions.streams, clock }),
    limits: { drainMs: DRAIN_MS, lastAnswersMs: LAST_ANSWERS_MS },
    clock,
    log,
  })
  await listen(http, config)
  log.info('serves', { api: config.api, hostContract: config.hostContract, version })
  return {
    stop: async () => {
      await end({ http, region, hosts, database })
      ownProcess.stop()
    },
  }
}

/** Without their ports. */
function hostAddresses({ peers }: ServerConfig): string[] {
  return peers.hostContract.map((address) => address.slice(0, address.lastIndexOf(':')))
}

async function listen(
  http: ReturnType<typeof createHttpServer>,
  config: ServerConfig,
): Promise<void> {
  await http.listen({ host: config.api.host, port: config.api.port }).catch((cause: unknown) => {
    throw new PlatformError(
      'PORT_TAKEN',
      {
        address: `${config.api.host}:${config.api.port}`,
        next: 'stop the program that listens there, or configure another port',
      },
      { cause },
    )
  })
}

/** Calls that are under way can be answered only while the region goes on, so the listener comes first. It also waits for streams. */
async function end(parts: {
  http: ReturnType<typeof createHttpServer>
  region: Region
  hosts: HostListener
  database: Database<Tables>
}): Promise<void> {
  const closed = parts.http.close()
  await sleep(clock, DRAIN_MS)
  parts.region.sessions.streams.stop()
  await Promise.race([closed, sleep(clock, LAST_ANSWERS_MS)])
  await parts.region.stop()
  await Promise.all([closed, parts.hosts.stop()])
  await parts.database.close()
}

const STOP_TIMEOUT_MS = 8_000

async function main(): Promise<void> {
  const [command, flag, file] = process.argv.slice(2)
  if ((command !== 'prepare' && command !== 'run') || flag !== '--config' || file === undefined) {
    process.stderr.write('usage: node control-plane/main.ts prepare|run --config FILE\n')
    process.exitCode = 2
    return
  }
  const config = parseServerConfig(readFileSync(file, 'utf8'))
  const log = openLog({ name: config.serverName, level: config.logLevel })
  if (command === 'prepare') return prepare(config, log)
  process.on('unhandledRejection', (error) =>
    log.error('a promise was rejected and nobody took it', { error }),
  )
  const server = await serve(config, log)
  const stop = (): void => {
    log.info('stops')
    setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref()
    void server.stop().then(() => process.exit(0))
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
}

main().catch((error: unknown) => {
  const text = isPlatformError(error)
    ? `${error.code}: ${error.message} ${JSON.stringify(error.details)}`
    : String(error)
  const cause =
    error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
  process.stderr.write(`${text}${cause}\n`)
  process.exit(1)
})
