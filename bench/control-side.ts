/** A control side alone: a private PostgreSQL, an image registry and two server processes, on addresses of this machine. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
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
import { prepareProgram, startServer } from './server-program.ts'

const API_PORT = 27_480
const HOST_CONTRACT_PORT = 27_443
const REGISTRY_PORT = 27_500
const SERVERS = [0, 1] as const
const READY_TIMEOUT_MS = 30_000
const READY_POLL_MS = 20

export interface LoopDelays {
  readonly p99Ms: number
  readonly maxMs: number
}

function rulerUrl(file: string): string {
  const url = new URL('loop-ruler.ts', import.meta.url)
  url.searchParams.set('file', file)
  return url.href
}

export class ControlSide {
  readonly folder: string
  readonly #address: string
  readonly #postgres: PostgresServer
  readonly #servers = new Map<number, RunningProgram>()
  #registry: RunningProgram | undefined

  private constructor() {
    // Its database runs as another user, and paths of sockets are short.
    this.folder = mkdtempSync(join(tmpdir(), 'nbc-'))
    chmodSync(this.folder, 0o711)
    // An address of the loopback network for each process, so that benches at the same time do not meet.
    this.#address = `127.${100 + ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${process.pid & 255}`
    this.#postgres = new PostgresServer({
      folder: join(this.folder, 'db'),
      runFolder: join(this.folder, 'run'),
      logFile: join(this.folder, 'postgres.log'),
    })
  }

  static async start(): Promise<ControlSide> {
    const side = new ControlSide()
    try {
      await side.#postgres.start()
      for (const index of SERVERS) writeFileSync(side.#configFile(index), side.#config(index))
      mkdirSync(join(side.folder, 'registry'))
      await run({
        argv: prepareProgram(side.#configFile(0)),
        timeoutMs: READY_TIMEOUT_MS,
      })
      side.#registry = start({
        argv: [...DIE_WITH_US, 'docker-registry', 'serve', join(side.folder, 'registry.yml')],
        logFile: join(side.folder, 'registry.log'),
      })
      await isReady(side.#address, REGISTRY_PORT)
      await side.startServers()
      return side
    } catch (error) {
      await side.close()
      throw error
    }
  }

  get postgresPid(): number {
    return this.#postgres.pid ?? 0
  }

  get serverPids(): number[] {
    return [...this.#servers.values()].map(({ pid }) => pid)
  }

  /** What the event loop of each server went through since it started. */
  get loopDelays(): LoopDelays[] {
    // proof: written by loop-ruler.ts
    return SERVERS.map(
      (index) => JSON.parse(readFileSync(this.#loopFile(index), 'utf8')) as LoopDelays,
    )
  }

  #loopFile(index: number): string {
    return join(this.folder, `loop-${index + 1}.json`)
  }

  get apis(): string[] {
    return SERVERS.map((index) => `http://${this.#address}:${API_PORT + index}`)
  }

  /**
   * What each server still held after its last full collection of garbage, MB; undefined before the first one. What the
   * process has taken from the machine says little: V8 lets garbage pile up for as long as there is room.
   */
  heldMegabytes(): (number | undefined)[] {
    return SERVERS.map((index) => {
      const log = readFileSync(this.#logFile(index), 'utf8')
      const last = [...log.matchAll(/Mark-Compact.* -> ([0-9.]+) \(/g)].at(-1)
      return last === undefined ? undefined : Number(last[1])
    })
  }

  /** Of the operator, to all servers, or to one. */
  operator(index?: number): Client {
    return this.client(readFileSync(join(this.folder, 'token'), 'utf8').trim(), index)
  }

  client(token: string, index?: number): Client {
    const servers = index === undefined ? this.apis : this.apis.slice(index, index + 1)
    return createClient({ servers, token, clock: systemClock, random: systemRandom })
  }

  async startServers(): Promise<void> {
    for (const index of SERVERS) {
      const program = startServer({
        configFile: this.#configFile(index),
        logFile: this.#logFile(index),
        flags: ['--trace-gc', '--import', rulerUrl(this.#loopFile(index))],
      })
      this.#servers.set(index, program)
    }
    await Promise.all(SERVERS.map((index) => isReady(this.#address, API_PORT + index)))
  }

  /** In order, or all at once and without a word. */
  async stopServers(how: 'politely' | 'killed'): Promise<void> {
    const signal = how === 'killed' ? 'SIGKILL' : 'SIGTERM'
    await Promise.all(
      [...this.#servers.values()].map((program) => program.stop({ signal, graceMs: 10_000 })),
    )
    this.#servers.clear()
  }

  /** Ends all and removes it. Idempotent. */
  async close(): Promise<void> {
    await this.stopServers('politely')
    await this.#registry?.stop()
    await this.#postgres.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #logFile(index: number): string {
    return join(this.folder, `server-${index + 1}.log`)
  }

  #configFile(index: number): string {
    return join(this.folder, `server-${index + 1}.json`)
  }

  #config(index: number): string {
    const { folder } = this
    const host = this.#address
    const hosts = (port: number): string[] => SERVERS.map((each) => `${host}:${port + each}`)
    return JSON.stringify({
      serverName: `server-${index + 1}`,
      region: 'bench',
      databaseUrl: this.#postgres.url,
      keyFile: join(folder, 'key'),
      bootstrapTokenFile: join(folder, 'token'),
      api: { host, port: API_PORT + index },
      hostContract: { host, port: HOST_CONTRACT_PORT + index },
      peers: { api: hosts(API_PORT), hostContract: hosts(HOST_CONTRACT_PORT) },
      registry: {
        address: `${host}:${REGISTRY_PORT}`,
        storageDir: join(folder, 'registry'),
        configFile: join(folder, 'registry.yml'),
      },
      dataDir: join(folder, `server-${index + 1}`),
    })
  }
}

async function isReady(host: string, port: number): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS
  while (!(await accepts(host, port))) {
    if (performance.now() > deadlineMs) throw new Error(`nothing listens on ${host}:${port}`)
    await sleep(READY_POLL_MS)
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
