/**
 * A private PostgreSQL: one cluster in a folder of ours, run as a non-root account, reachable only through a Unix
 * socket, with every commit on disk (fsync). Whoever calls `start` is its parent and restarts it when `exited`
 * resolves; a start after a crash clears what the dead server left, and only after proving it dead.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PlatformError } from '@nubo/base'
import pg from 'pg'
import {
  findProcess,
  run,
  signalProcess,
  start,
  type ProgramExit,
  type ProgramPlacement,
  type RunningProgram,
} from '../process/programs.ts'

const DATABASE = 'nubo'
const ROLE = 'nubo'
const PORT = 5432 // only a part of the socket's file name
const READY_TIMEOUT_MS = 60_000 // recovery after a crash replays up to max_wal_size
const STOP_TIMEOUT_MS = 20_000
const ORPHAN_TIMEOUT_MS = 20_000
const POLL_MS = 15
const INITDB_TIMEOUT_MS = 60_000
// Linux keeps 108 bytes for a socket's path, the last one a zero.
const SOCKET_PATH_BYTES_MAX = 107

export interface PostgresServerOptions {
  /** Holds the cluster in `data/`; made on first start, belongs to the account. Its parents must be passable. */
  folder: string
  /** Holds the socket; short, see SOCKET_PATH_BYTES_MAX. Made if absent. */
  runFolder: string
  logFile: string
  /** Account that owns and runs it when we are root; default `postgres`. Another caller runs it as itself. */
  account?: string
  binaries?: string
  connectionsMax?: number
  sharedBuffersMib?: number
  cgroups?: readonly string[]
}

export class PostgresServer {
  /** For the `pg` driver and for libpq: database and role `nubo` over the socket. */
  readonly url: string
  readonly #options: PostgresServerOptions
  readonly #dataFolder: string
  readonly #binaries: string
  #program: RunningProgram | undefined

  constructor(options: PostgresServerOptions) {
    this.#options = options
    this.#dataFolder = join(options.folder, 'data')
    this.#binaries = options.binaries ?? '/usr/lib/postgresql/15/bin'
    this.url = this.#urlOf(DATABASE)
  }

  get pid(): number | undefined {
    return this.#program?.pid
  }

  /** Resolves when the running server has ended, wanted or not. Only to be read after `start`. */
  get exited(): Promise<ProgramExit> {
    if (this.#program === undefined) throw new Error('PostgreSQL was not started')
    return this.#program.exited
  }

  /**
   * Makes the cluster if there is none, starts the server and returns once it answers and the database exists.
   * Throws SETUP_FAILED with the reason and the next step; nothing is left running then.
   */
  async start(options: { readyTimeoutMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    if (this.#program !== undefined && findProcess(this.#program.pid) !== undefined) {
      throw new Error('PostgreSQL runs already')
    }
    const socket = join(this.#options.runFolder, `.s.PGSQL.${PORT}`)
    if (Buffer.byteLength(`${socket}.lock`) > SOCKET_PATH_BYTES_MAX) {
      throw failed('the path of its socket is too long', {
        path: socket,
        next: 'use a shorter folder',
      })
    }
    if (!existsSync(join(this.#binaries, 'postgres'))) {
      throw failed('its programs are not installed', {
        path: this.#binaries,
        next: 'apt-get install postgresql-15',
      })
    }
    const user = await this.#resolveAccount()
    for (const folder of [this.#options.folder, this.#options.runFolder]) makeOwned(folder, user)
    await this.#makeCluster(user)
    await clearDeadServer(this.#dataFolder, socket)
    this.#writeConfiguration(user)

    const program = start({
      argv: [join(this.#binaries, 'postgres'), '-D', this.#dataFolder],
      cwd: this.#dataFolder,
      logFile: this.#options.logFile,
      ...this.#placement(user),
    })
    this.#program = program
    try {
      await this.#waitReady(program, options)
    } catch (cause) {
      await program.stop({ signal: 'SIGQUIT' })
      throw cause
    }
  }

  /** Fast shutdown: open transactions are rolled back, a checkpoint is written. Safe when it does not run. */
  async stop(options: { graceMs?: number } = {}): Promise<void> {
    await this.#program?.stop({ signal: 'SIGINT', graceMs: options.graceMs ?? STOP_TIMEOUT_MS })
  }

  #urlOf(database: string): string {
    return `postgresql://${ROLE}@${encodeURIComponent(this.#options.runFolder)}:${PORT}/${database}`
  }

  #placement(user: Account | undefined): ProgramPlacement {
    return {
      ...(user === undefined ? {} : { user }),
      ...(this.#options.cgroups === undefined ? {} : { cgroups: this.#options.cgroups }),
    }
  }

  /** The account to run as, or undefined when we are not root and stay who we are. */
  async #resolveAccount(): Promise<Account | undefined> {
    if (process.getuid?.() !== 0) return undefined
    const account = this.#options.account ?? 'postgres'
    try {
      const [uid, gid] = await Promise.all([
        run({ argv: ['id', '-u', account] }),
        run({ argv: ['id', '-g', account] }),
      ])
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
    } catch (cause) {
      throw failed(
        `there is no account ${account} to run it as`,
        { next: 'apt-get install postgresql-15' },
        cause,
      )
    }
  }

  /** initdb into a folder aside, renamed when whole: an interrupted one is never taken for a cluster. */
  async #makeCluster(user: Account | undefined): Promise<void> {
    if (existsSync(this.#dataFolder)) {
      const version = readFileSync(join(this.#dataFolder, 'PG_VERSION'), 'utf8').trim()
      const { stdout } = await run({ argv: [join(this.#binaries, 'postgres'), '--version'] })
      if (!stdout.includes(` ${version}.`)) {
        throw failed(`its folder is of version ${version}, the program says ${stdout.trim()}`, {
          path: this.#dataFolder,
          next: `install postgresql-${version}, or move the folder away`,
        })
      }
      return
    }
    const fresh = `${this.#dataFolder}.new`
    rmSync(fresh, { recursive: true, force: true })
    try {
      await run({
        argv: [
          join(this.#binaries, 'initdb'),
          `--pgdata=${fresh}`,
          `--username=${ROLE}`,
          '--encoding=UTF8',
          '--locale=C.UTF-8',
          '--auth=peer',
          '--data-checksums',
        ],
        cwd: this.#options.folder,
        timeoutMs: INITDB_TIMEOUT_MS,
        ...this.#placement(user),
      })
    } catch (cause) {
      rmSync(fresh, { recursive: true, force: true })
      throw failed(
        'initdb failed',
        { path: fresh, next: 'see the reason; is the folder passable for the account?' },
        cause,
      )
    }
    renameSync(fresh, this.#dataFolder)
  }

  #writeConfiguration(user: Account | undefined): void {
    const write = (name: string, lines: readonly string[]): void => {
      const path = join(this.#dataFolder, name)
      writeFileSync(`${path}.new`, `${lines.join('\n')}\n`, { mode: 0o600 })
      if (user !== undefined) chownSync(`${path}.new`, user.uid, user.gid)
      renameSync(`${path}.new`, path)
    }
    write('postgresql.conf', [
      '# Written at each start; changes are lost.',
      `listen_addresses = ''`,
      `port = ${PORT}`,
      `unix_socket_directories = '${this.#options.runFolder.replaceAll("'", "''")}'`,
      'unix_socket_permissions = 0700',
      `max_connections = ${this.#options.connectionsMax ?? 100}`,
      `shared_buffers = ${this.#options.sharedBuffersMib ?? 64}MB`,
      'fsync = on',
      'synchronous_commit = on',
      'full_page_writes = on',
      'max_wal_size = 512MB',
      'jit = off',
      `timezone = 'UTC'`,
      `log_timezone = 'UTC'`,
      `log_line_prefix = '%m [%p] '`,
      'log_checkpoints = off',
      // A connection whose client host vanished frees its locks. Sockets of this machine: mostly a safety net.
      'idle_in_transaction_session_timeout = 60s',
    ])
    // Who may connect: the operating-system accounts root, the server's own and ours, each as the one role.
    const self = process.getuid?.() === 0 ? [] : [`nubo ${accountName()} ${ROLE}`]
    write('pg_hba.conf', ['local all all peer map=nubo'])
    write('pg_ident.conf', [
      `nubo root ${ROLE}`,
      `nubo ${this.#options.account ?? 'postgres'} ${ROLE}`,
      ...self,
    ])
  }

  async #waitReady(
    program: RunningProgram,
    options: { readyTimeoutMs?: number; signal?: AbortSignal },
  ): Promise<void> {
    const timeoutMs = options.readyTimeoutMs ?? READY_TIMEOUT_MS
    const deadline = performance.now() + timeoutMs
    let ended: ProgramExit | undefined
    void program.exited.then((exit) => (ended = exit))
    let lastError: unknown
    for (;;) {
      options.signal?.throwIfAborted()
      try {
        await makeDatabase(this.#urlOf('postgres'))
        return
      } catch (cause) {
        lastError = cause
      }
      if (ended !== undefined) {
        throw failed(
          `it ended at once: ${lastLines(this.#options.logFile)}`,
          { log: this.#options.logFile },
          lastError,
        )
      }
      if (performance.now() > deadline) {
        throw failed(
          `it does not answer after ${timeoutMs} ms`,
          { log: this.#options.logFile },
          lastError,
        )
      }
      await sleep(POLL_MS)
    }
  }
}

interface Account {
  uid: number
  gid: number
}

async function makeDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined) // a failing connection also fails the query that waits on it
  try {
    await client.connect()
    const found = await client.query('select 1 from pg_database where datname = $1', [DATABASE])
    if (found.rowCount === 0) await client.query(`create database ${DATABASE}`)
  } finally {
    await client.end().catch(() => undefined)
  }
}

/**
 * Clears what a dead server left: its pid file, socket and socket lock. PostgreSQL clears them itself only if
 * `kill -0` fails, which it does not for a zombie or a re-used pid. A postmaster that lost its parent but lives is
 * ended first: its owner is gone, and two on one folder would ruin it. Its processes are known by their working
 * folder, which is the data folder for the life of each.
 */
async function clearDeadServer(dataFolder: string, socket: string): Promise<void> {
  const deadline = performance.now() + ORPHAN_TIMEOUT_MS
  const postmaster = readPostmasterPid(dataFolder)
  for (let round = 0; ; round++) {
    const alive = processesIn(dataFolder)
    if (alive.length === 0) break
    if (performance.now() > deadline) {
      throw failed('an earlier server of this folder does not end', {
        pids: alive,
        next: 'end these processes',
      })
    }
    if (round === 0 && postmaster !== undefined && alive.includes(postmaster))
      signalProcess(postmaster, 'SIGINT')
    await sleep(POLL_MS)
  }
  for (const path of [join(dataFolder, 'postmaster.pid'), socket, `${socket}.lock`])
    rmSync(path, { force: true })
}

function readPostmasterPid(dataFolder: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8').split('\n')[0])
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}

function processesIn(folder: string): number[] {
  const realFolder = realpathSync(folder)
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === realFolder && findProcess(pid) !== undefined
      } catch {
        return false // ended meanwhile, a kernel thread, or not ours to see
      }
    })
}

function makeOwned(folder: string, user: Account | undefined): void {
  mkdirSync(folder, { recursive: true })
  if (user === undefined) return
  chownSync(folder, user.uid, user.gid)
  chmodSync(folder, 0o700)
  // The account must be able to walk there; said here because initdb would only say "Permission denied".
  for (let parent = dirname(folder); parent !== '/'; parent = dirname(parent)) {
    if ((statSync(parent).mode & 0o001) === 0) {
      throw failed(`the account that runs it cannot pass ${parent}`, {
        path: parent,
        next: `chmod o+x ${parent}`,
      })
    }
  }
}

function accountName(): string {
  const uid = process.getuid?.()
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.split(':')[2] === String(uid))
  return line?.split(':')[0] ?? 'nobody'
}

function lastLines(logFile: string): string {
  try {
    return readFileSync(logFile, 'utf8').trim().split('\n').slice(-3).join(' | ')
  } catch {
    return 'it wrote no log'
  }
}

function failed(reason: string, details: Record<string, unknown>, cause?: unknown): PlatformError {
  return new PlatformError('SETUP_FAILED', details, { message: `PostgreSQL: ${reason}`, cause })
}
