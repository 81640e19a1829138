/**
 * A server process on a PostgreSQL of its own that holds a large region: rows as they stand after long use, hosts whose
 * heartbeats go on, and no agents. The server leads, so its reconcilers work as they do in a cloud.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, type Client } from '@nubo/client'
import { DIE_WITH_US } from '@nubo/lab'
import {
  PostgresServer,
  run,
  start,
  systemClock,
  systemRandom,
  type RunningProgram,
} from '@nubo/runtime'
import { filledRows, HEARTBEATS } from './filled-rows.ts'
import { prepareProgram, startServer } from './server-program.ts'
import { makeHomeFolder } from './stage.ts'

const READY_TIMEOUT_MS = 180_000
const FILL_TIMEOUT_MS = 120_000

export interface FilledServer {
  readonly url: string
  readonly token: string
  readonly client: Client
  readonly pid: number
  /** From the start of the process until it served, ms. */
  readonly readyAfterMs: number
  close(): Promise<void>
}

export async function startFilledServer(): Promise<FilledServer> {
  const folder = makeHomeFolder()
  const postgres = new PostgresServer({
    folder: join(folder, 'db'),
    runFolder: join(folder, 'run'),
    logFile: join(folder, 'postgres.log'),
  })
  const programs: RunningProgram[] = []
  const close = async (): Promise<void> => {
    for (const program of programs.toReversed()) await program.stop()
    await postgres.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await postgres.start()
    const config = writeConfig(folder, postgres.url)
    await run({ argv: prepareProgram(config.file) })
    const fill = join(folder, 'fill.sql')
    writeFileSync(fill, filledRows())
    const psql = ['psql', '-q', '-X', postgres.url] as const
    await run({ argv: [...psql, '-f', fill], timeoutMs: FILL_TIMEOUT_MS })
    const beats = join(folder, 'beats.sql')
    writeFileSync(beats, HEARTBEATS)
    programs.push(start({ argv: [...DIE_WITH_US, ...psql, '-f', beats], logFile: '/dev/null' }))
    const startMs = performance.now()
    const server = startServer({ configFile: config.file, logFile: join(folder, 'server.log') })
    programs.push(server)
    const token = readFileSync(config.tokenFile, 'utf8').trim()
    const client = createClient({
      servers: [config.url],
      token,
      clock: systemClock,
      random: systemRandom,
    })
    await untilServed(client, () => readFileSync(join(folder, 'server.log'), 'utf8'))
    const readyAfterMs = performance.now() - startMs
    return { url: config.url, token, client, pid: server.pid, readyAfterMs, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function untilServed(client: Client, log: () => string): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS
  for (;;) {
    try {
      await client.whoAmI()
      return
    } catch (error) {
      if (performance.now() > deadlineMs)
        throw new Error(`the server does not serve: ${log().slice(-2_000)}`, { cause: error })
      await sleep(50)
    }
  }
}

function writeConfig(
  folder: string,
  databaseUrl: string,
): { file: string; tokenFile: string; url: string } {
  // An address of the loopback network that hardly anybody else has.
  const host = `127.${64 + ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${process.pid & 255}`
  const file = join(folder, 'server.json')
  const tokenFile = join(folder, 'token')
  mkdirSync(join(folder, 'registry'))
  writeFileSync(join(folder, 'key'), randomBytes(32), { mode: 0o600 })
  writeFileSync(
    file,
    JSON.stringify({
      serverName: 'bench',
      region: 'local',
      databaseUrl,
      keyFile: join(folder, 'key'),
      bootstrapTokenFile: tokenFile,
      api: { host, port: 7_480 },
      hostContract: { host, port: 7_481 },
      peers: { api: [`${host}:7480`], hostContract: [`${host}:7481`] },
      registry: {
        address: `${host}:7482`,
        storageDir: join(folder, 'registry'),
        configFile: join(folder, 'registry.yaml'),
      },
      dataDir: join(folder, 'data'),
      logLevel: 'warn',
    }),
  )
  return { file, tokenFile, url: `http://${host}:7480` }
}
