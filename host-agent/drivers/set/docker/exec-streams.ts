import { setTimeout as sleep } from 'node:timers/promises'
import { Writable } from 'node:stream'
import { PlatformError } from '@nubo/base'
import { isDockerError, type DockerClient, type ExecConnection } from '@nubo/wire-docker'
import type { ExecRequest, ExecStream, OutputChunk } from '../set-driver.ts'
import { engineError } from './engine-errors.ts'
import { memberName } from './labels.ts'

/** The engine answers for an exec a moment before its process runs, and knows its exit code a moment after its output ends. */
const SETTLE_TIMEOUT_MS = 5_000
const SETTLE_LOOK_MS = 10
/** Each takes a connection and a process of the engine. */
const EXECS_MAX = 128

/** Ctrl-D. */
const END_OF_TRANSMISSION = '\x04'

const SIGNALS: ReadonlySet<string> = new Set([
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGSTOP', 'SIGCONT', 'SIGWINCH', 'SIGTSTP',
]) // prettier-ignore

/** Programs that run beside those of containers. */
export class ExecStreams {
  readonly #docker: DockerClient
  #open = 0

  constructor(docker: DockerClient) {
    this.#docker = docker
  }

  async start(setId: string, container: string, request: ExecRequest): Promise<ExecStream> {
    if (this.#open >= EXECS_MAX)
      throw new PlatformError('TOO_MANY_REQUESTS', { limit: 'execs', max: EXECS_MAX })
    this.#open += 1
    let stream: DockerExec
    try {
      stream = await this.#connect(memberName(setId, container), request)
    } catch (error) {
      this.#open -= 1
      throw execError(container, error)
    }
    void stream.ended.then(() => (this.#open -= 1))
    if (request.tty === true && request.columns !== undefined && request.rows !== undefined) {
      // A program that has ended by now needs no size.
      await stream.resize({ columns: request.columns, rows: request.rows }).catch(() => {})
    }
    return stream
  }

  async #connect(name: string, request: ExecRequest): Promise<DockerExec> {
    const hasTty = request.tty === true
    const hasStdin = request.stdin === true
    const id = await this.#docker.execs.create(name, {
      command: request.command,
      hasTty,
      hasStdin,
      ...(request.env === undefined
        ? {}
        : { env: Object.entries(request.env).map(([key, value]) => `${key}=${value}`) }),
      ...(request.workingDir === undefined ? {} : { workingDir: request.workingDir }),
    })
    return new DockerExec(this.#docker, id, await this.#docker.execs.start(id, { hasTty }), {
      hasStdin,
      hasTty,
    })
  }
}

class DockerExec implements ExecStream {
  readonly stdin: Writable | null
  readonly output: AsyncIterable<OutputChunk>
  readonly exitCode: Promise<number>
  /** Resolves when the stream is over, however it ended. */
  readonly ended: Promise<void>
  readonly #docker: DockerClient
  readonly #id: string
  readonly #connection: ExecConnection
  readonly #exit = Promise.withResolvers<number>()
  #isOver = false

  constructor(
    docker: DockerClient,
    id: string,
    connection: ExecConnection,
    { hasStdin, hasTty }: { readonly hasStdin: boolean; readonly hasTty: boolean },
  ) {
    this.#docker = docker
    this.#id = id
    this.#connection = connection
    this.stdin = !hasStdin ? null : hasTty ? terminalInput(connection.stdin) : connection.stdin
    this.exitCode = this.#exit.promise
    // Whoever does not ask for the exit code does not care how it ended.
    this.exitCode.catch(() => {})
    this.ended = this.exitCode.then(
      () => {},
      () => {},
    )
    this.output = this.#read()
  }

  async resize(size: { readonly columns: number; readonly rows: number }): Promise<void> {
    await this.#whenRunning(async () => {
      await this.#docker.execs.resize(this.#id, size).catch((error: unknown) => {
        if (isDockerError(error, 'unreachable', 'timeout')) throw execError('exec', error)
      })
    })
  }

  async signal(name: string): Promise<void> {
    if (!isSignal(name)) throw new PlatformError('INVALID_INPUT', { field: 'signal', value: name })
    await this.#whenRunning(async (pid) => {
      send(pid, name)
    })
  }

  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#exit.reject(new PlatformError('NOT_ALLOWED_NOW', {}, { message: 'the exec was closed' }))
    // The engine lets a program run on when its connection goes; what nobody reads any more shall end.
    void this.#kill().finally(() => this.#connection.close())
  }

  async *#read(): AsyncGenerator<OutputChunk, void, undefined> {
    try {
      yield* this.#connection.output
      if (this.#isOver) return
      const exitCode = await this.#settled()
      this.#isOver = true
      this.#exit.resolve(exitCode)
    } catch (error) {
      if (this.#isOver) return
      this.#exit.reject(execError('exec', error))
      throw execError('exec', error)
    } finally {
      // The reader may have left before the end.
      this.close()
    }
  }

  async #settled(): Promise<number> {
    for (let waitedMs = 0; waitedMs <= SETTLE_TIMEOUT_MS; waitedMs += SETTLE_LOOK_MS) {
      const { exitCode } = await this.#docker.execs.inspect(this.#id)
      if (exitCode !== null) return exitCode
      await sleep(SETTLE_LOOK_MS)
    }
    throw new PlatformError(
      'DEADLINE_EXCEEDED',
      {},
      { message: 'the output ended, but the program did not' },
    )
  }

  async #kill(): Promise<void> {
    await this.#whenRunning(async (pid) => {
      // The engine makes each exec the leader of a process group: with the group go its children.
      if (!send(-pid, 'SIGKILL')) send(pid, 'SIGKILL')
    }).catch(() => {})
  }

  /** Calls `act` with the host pid of the program when it runs; not at all if it has ended. */
  async #whenRunning(act: (pid: number) => Promise<void>): Promise<void> {
    for (let waitedMs = 0; waitedMs <= SETTLE_TIMEOUT_MS; waitedMs += SETTLE_LOOK_MS) {
      const state = await this.#docker.execs.inspect(this.#id).catch((error: unknown) => {
        if (isDockerError(error, 'not_found')) return null
        throw execError('exec', error)
      })
      if (state === null || (!state.isRunning && state.exitCode !== null)) return
      if (state.pid !== null) return await act(state.pid)
      await sleep(SETTLE_LOOK_MS)
    }
  }
}

/**
 * Input of a terminal. It ends as somebody at the keys would end it: when the connection's input is closed, the engine
 * drops all that the program has still to print.
 */
function terminalInput(keys: Writable): Writable {
  keys.on('error', () => {}) // told by the write that meets it
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => void keys.write(chunk, done),
    final: (done) => void keys.write(END_OF_TRANSMISSION, done),
  })
}

function isSignal(name: string): name is NodeJS.Signals {
  return SIGNALS.has(name)
}

/** False if there is no such process (any more). */
function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

function execError(container: string, error: unknown): unknown {
  if (isDockerError(error, 'not_found')) {
    return new PlatformError(
      'NOT_FOUND',
      { container },
      { message: 'there is no such container', cause: error },
    )
  }
  if (isDockerError(error, 'conflict')) {
    return new PlatformError(
      'NOT_ALLOWED_NOW',
      { container },
      { message: 'the container does not run', cause: error },
    )
  }
  return engineError(error, 'exec', 'CONTAINER_START_FAILED')
}
