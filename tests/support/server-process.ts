import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostContractAddress, TEST_REGION } from './region.ts'
import { send } from './http.ts'
import { waitUntil } from './wait.ts'

const API_PORT = 7_101
const READY_TIMEOUT_MS = 30_000
/** The program of this release. */
export const presentServer: string = new URL('../../control-plane/main.ts', import.meta.url)
  .pathname

/** What a server process needs of its region; `TestRegion` has it. */
export interface ProcessRegion {
  readonly folder: string
  readonly databaseUrl: string
  readonly keyFile: string
  readonly operatorToken: string
  /** Of every server, 'address:port'. */
  readonly hostContracts: readonly string[]
  onClose(close: () => Promise<void>): void
}

export interface ServerProcess {
  readonly url: string
  /** What it has logged since it started, one JSON object a line. */
  log(): string
  /** SIGTERM; resolves with its exit code, null if a signal ended it. */
  stop(): Promise<number | null>
  /** SIGKILL; resolves when it is gone. Idempotent. */
  kill(): Promise<void>
}

/**
 * A server process of a test's region that can be killed without warning. It has no registry.
 * `main`: the program of another release; its `prepare` has run already.
 */
export async function startServerProcess(
  region: ProcessRegion,
  index: number,
  options: { readonly main?: string } = {},
): Promise<ServerProcess> {
  const [host] = hostContractAddress(index)
  const serverName = `process-${index + 1}`
  const apiPort = API_PORT + index
  const config = writeServerConfig(region, index)
  const logFile = join(region.folder, `${serverName}.log`)
  const log = openSync(logFile, 'w')
  const child = spawn(
    process.execPath,
    [options.main ?? presentServer, 'run', '--config', config],
    {
      stdio: ['ignore', log, log],
    },
  )
  closeSync(log)
  const exited = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM')
    await exited
    return child.exitCode
  }
  region.onClose(kill)
  const url = `http://${host}:${apiPort}`
  await waitUntil(
    async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(logFile, 'utf8'))
      const reply = await send(url, { path: '/v1/whoami', token: region.operatorToken }).catch(
        () => undefined,
      )
      return reply?.status
    },
    (status) => status === 200,
    { timeoutMs: READY_TIMEOUT_MS, what: 'the server process answers' },
  )
  return { url, log: () => readFileSync(logFile, 'utf8'), stop, kill }
}

/** The configuration of a server process as a file, whose name it returns. */
export function writeServerConfig(
  region: Omit<ProcessRegion, 'operatorToken' | 'onClose'>,
  index: number,
): string {
  const [host, port] = hostContractAddress(index)
  const serverName = `process-${index + 1}`
  const apiPort = API_PORT + index
  const config = join(region.folder, `${serverName}.json`)
  writeFileSync(
    config,
    JSON.stringify({
      serverName,
      region: TEST_REGION,
      databaseUrl: region.databaseUrl,
      keyFile: region.keyFile,
      bootstrapTokenFile: join(region.folder, 'token'),
      api: { host, port: apiPort },
      hostContract: { host, port },
      peers: { api: [`${host}:${apiPort}`], hostContract: region.hostContracts },
      registry: { address: `${host}:9`, storageDir: region.folder, configFile: config },
      dataDir: join(region.folder, serverName),
      logLevel: 'info',
    }),
  )
  return config
}
