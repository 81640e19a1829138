import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostContractAddress, TEST_REGION, type TestRegion } from './region.ts'
import { send } from './http.ts'
import { waitUntil } from './wait.ts'

const API_PORT = 7_101
const READY_TIMEOUT_MS = 30_000

export interface ServerProcess {
  readonly url: string
  /** SIGKILL; resolves when it is gone. Idempotent. */
  kill(): Promise<void>
}

/** A server process of a test's region that can be killed without warning. It has no registry. */
export async function startServerProcess(
  region: TestRegion,
  index: number,
): Promise<ServerProcess> {
  const [host, port] = hostContractAddress(index)
  const serverName = `process-${index + 1}`
  const apiPort = API_PORT + index
  const config = join(region.folder, `${serverName}.json`)
  const logFile = join(region.folder, `${serverName}.log`)
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
  const log = openSync(logFile, 'w')
  const main = new URL('../../control-plane/main.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [main, 'run', '--config', config], {
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const exited = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
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
  return { url, kill }
}
