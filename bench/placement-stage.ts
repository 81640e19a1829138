/**
 * A region for the bench of placement: a private PostgreSQL with fsync, and two server processes as in production.
 * Hosts and sets are rows that SQL makes before the servers start; no agent runs, since none has a part in placing.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, type Client } from '@nubo/client'
import { PostgresServer, run, systemClock, systemRandom, type RunningProgram } from '@nubo/runtime'
import { prepareProgram, startServer } from './server-program.ts'
import { makeHomeFolder } from './stage.ts'

const PSQL_TIMEOUT_MS = 120_000
const API_PORT = 7_301
const HOST_CONTRACT_PORT = 7_401
const REGION = 'bench'

export class PlacementStage {
  readonly #folder = makeHomeFolder()
  readonly #postgres: PostgresServer
  readonly #servers: RunningProgram[] = []
  /** Of the loopback network, and of this process alone. */
  readonly #address = `127.90.${(process.pid >> 8) & 255}.${process.pid & 255}`

  private constructor() {
    this.#postgres = new PostgresServer({
      folder: join(this.#folder, 'db'),
      runFolder: join(this.#folder, 'run'),
      logFile: join(this.#folder, 'db.log'),
    })
  }

  static async open(): Promise<PlacementStage> {
    const stage = new PlacementStage()
    try {
      await stage.#postgres.start()
      for (const index of [0, 1]) writeFileSync(stage.#configFile(index), stage.#config(index))
      await run({ argv: prepareProgram(stage.#configFile(0)) })
      return stage
    } catch (error) {
      await stage.close()
      throw error
    }
  }

  /** Runs statements with `psql`; returns what they print, one row a line and fields apart by `|`. */
  async sql(text: string): Promise<string> {
    const { stdout } = await run({
      argv: ['psql', this.#postgres.url, '-qAtX', '-v', 'ON_ERROR_STOP=1', '-f', '-'],
      input: text,
      timeoutMs: PSQL_TIMEOUT_MS,
    })
    return stdout.trim()
  }

  /**
   * Starts both servers; one of them comes to lead, loads what there is, and begins to place at once. To see where the
   * time goes: NUBO_BENCH_NODE_FLAGS='--cpu-prof --cpu-prof-dir=FOLDER'.
   */
  startServers(): void {
    for (const index of [0, 1])
      this.#servers.push(
        startServer({
          configFile: this.#configFile(index),
          logFile: this.#logFile(index),
          cwd: this.#folder,
        }),
      )
  }

  /** The operator's client of one server. */
  client(index: number): Client {
    return createClient({
      servers: [`http://${this.#address}:${API_PORT + index}`],
      token: readFileSync(join(this.#folder, 'token'), 'utf8').trim(),
      clock: systemClock,
      random: systemRandom,
    })
  }

  /** What the servers logged, for a bench that does not come to its end. */
  lastWords(): string {
    return [0, 1]
      .map((index) => readFileSync(this.#logFile(index), 'utf8').slice(-2_000))
      .join('\n')
  }

  /** Ends the servers as if they were asked to stop, so that a profiler can write what it saw. */
  async stopServers(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.stop({ signal: 'SIGTERM' })))
  }

  async close(): Promise<void> {
    await this.stopServers()
    await this.#postgres.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #configFile(index: number): string {
    return join(this.#folder, `server-${index}.json`)
  }

  #logFile(index: number): string {
    return join(this.#folder, `server-${index}.log`)
  }

  #config(index: number): string {
    const dataDir = join(this.#folder, `data-${index}`)
    mkdirSync(dataDir)
    return JSON.stringify({
      serverName: `s${index}`,
      region: REGION,
      databaseUrl: this.#postgres.url,
      keyFile: join(this.#folder, 'key'),
      bootstrapTokenFile: join(this.#folder, 'token'),
      api: { host: this.#address, port: API_PORT + index },
      hostContract: { host: this.#address, port: HOST_CONTRACT_PORT + index },
      peers: {
        api: [0, 1].map((peer) => `${this.#address}:${API_PORT + peer}`),
        hostContract: [0, 1].map((peer) => `${this.#address}:${HOST_CONTRACT_PORT + peer}`),
      },
      // Nothing is pulled here, so there is none.
      registry: {
        address: `${this.#address}:9`,
        storageDir: dataDir,
        configFile: join(dataDir, 'registry.json'),
      },
      dataDir,
    })
  }
}
