import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface RealServerOptions {
  /** A cluster of one: the only kind of database whose server knows past transactions after a restart. */
  readonly clustered?: boolean
}

/** A real ovsdb-server with its database in a folder of its own, which a test may kill and start again. */
export class RealServer {
  readonly folder: string
  readonly socket: string
  readonly controlSocket: string
  #process: ChildProcess | undefined

  private constructor(folder: string) {
    this.folder = folder
    this.socket = join(folder, 'db.sock')
    this.controlSocket = join(folder, 'ctl')
  }

  static async start(schema: unknown, options: RealServerOptions = {}): Promise<RealServer> {
    const folder = await mkdtemp(join(tmpdir(), 'ovsdb-'))
    const server = new RealServer(folder)
    const schemaFile = join(folder, 'schema')
    await writeFile(schemaFile, JSON.stringify(schema))
    const database = join(folder, 'db')
    const create = options.clustered
      ? ['create-cluster', database, schemaFile, `unix:${join(folder, 'raft')}`]
      : ['create', database, schemaFile]
    await run('ovsdb-tool', ['-vconsole:off', ...create], { timeout: 10_000 })
    await server.start()
    return server
  }

  async start(): Promise<void> {
    this.#process = spawn(
      'ovsdb-server',
      [
        join(this.folder, 'db'),
        `--remote=punix:${this.socket}`,
        `--unixctl=${this.controlSocket}`,
        `--log-file=${join(this.folder, 'log')}`,
        '-vconsole:off',
        '--no-chdir',
      ],
      { stdio: 'ignore' },
    )
    const deadline = AbortSignal.timeout(10_000)
    while (!(await answers(this.socket)) || !(await answers(this.controlSocket))) {
      deadline.throwIfAborted()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** kill -9, and waits until the process is gone. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async remove(): Promise<void> {
    await this.kill()
    await rm(this.folder, { recursive: true, force: true })
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}
