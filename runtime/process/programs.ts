/**
 * The one place that starts programs.
 *
 * Rules it keeps, so that no caller has to: argv arrays, never a shell line made of values; a deadline on every
 * run; bounded output; each program in its own process group, which is killed as a whole. A program gets a small,
 * named environment instead of whatever the parent happens to have, so that it behaves the same under a terminal,
 * a supervisor and a test.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { PlatformError } from '@nubo/base'

const OUTPUT_BYTES_MAX = 4 * 1024 * 1024
const STDERR_TAIL_BYTES = 2_048
const RUN_TIMEOUT_MS = 30_000
const STOP_GRACE_MS = 5_000
// A killed program's pipes close at once unless a process that left its group still holds them.
const PIPE_DRAIN_MS = 1_000
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export type Argv = readonly [program: string, ...args: string[]]

/** Where and as whom a program runs. Each field left out means: as the caller. Needs root for any of them. */
export interface ProgramPlacement {
  /** Path of a network namespace, for example /run/netns/web. Entered with nsenter and not with `ip netns exec`,
   *  which would also give the program a private copy of all mounts and hide the cgroup file systems. */
  netns?: string
  /** Existing cgroup folders, one per hierarchy. The program is inside before its first instruction. */
  cgroups?: readonly string[]
  user?: { uid: number; gid: number }
}

export interface RunOptions extends ProgramPlacement {
  argv: Argv
  /** Added to the base environment (PATH, HOME, LANG). */
  env?: Readonly<Record<string, string | undefined>>
  cwd?: string
  input?: string | Uint8Array
  /** Default 30 s. After it the whole group is killed and the call fails. */
  timeoutMs?: number
  /** Limit of stdout and of stderr, each; default 4 MiB. A program that writes more is killed and the call fails. */
  outputBytesMax?: number
  signal?: AbortSignal
}

export interface ProgramOutput {
  stdout: string
  stderr: string
}

export type ProgramFailure =
  | { at: 'spawn' }
  | { at: 'exit'; exitCode: number }
  | { at: 'signal'; signal: string }
  | { at: 'deadline'; timeoutMs: number }
  | { at: 'output-limit'; outputBytesMax: number }
  | { at: 'aborted' }

/**
 * A program did not do its work: PROGRAM_TIMED_OUT past its deadline, PROGRAM_FAILED otherwise. `failure` says how,
 * `stderrTail` holds the last of what it said, `stdout` all it printed. Arguments are not part of the error: they can hold secrets.
 */
export class ProgramError extends PlatformError {
  readonly failure: ProgramFailure
  readonly stderrTail: string
  readonly stdout: string

  constructor(
    argv: Argv,
    failure: ProgramFailure,
    output: { stderrTail: string; stdout?: string; cause?: unknown },
  ) {
    const said = lastWords(output.stderrTail)
    super(
      failure.at === 'deadline' ? 'PROGRAM_TIMED_OUT' : 'PROGRAM_FAILED',
      { program: argv[0], failure, stderr: said },
      {
        message: `${argv[0]}: ${failureText(failure)}${said === '' ? '' : `: ${said}`}`,
        cause: output.cause,
      },
    )
    this.name = 'ProgramError'
    this.failure = failure
    this.stderrTail = output.stderrTail
    this.stdout = output.stdout ?? ''
  }
}

/** What a person wants to read of a program's last output: the line that names an error, else the last lines. */
function lastWords(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.findLast((line) => /^\S*error\b/i.test(line)) ?? lines.slice(-3).join(' | ')
}

function failureText(failure: ProgramFailure): string {
  switch (failure.at) {
    case 'spawn':
      return 'cannot be started'
    case 'exit':
      return `exit code ${failure.exitCode}`
    case 'signal':
      return `ended by ${failure.signal}`
    case 'deadline':
      return `not done after ${failure.timeoutMs} ms, killed`
    case 'output-limit':
      return `wrote more than ${failure.outputBytesMax} bytes, killed`
    case 'aborted':
      return 'aborted'
  }
}

/**
 * Runs a program to its end and returns what it wrote, decoded as UTF-8.
 * Throws ProgramError when it cannot be started, exits with another code than 0, is ended by a signal, writes too
 * much, or passes its deadline; in each case nothing of its process group is left.
 */
export async function run(options: RunOptions): Promise<ProgramOutput> {
  const timeoutMs = options.timeoutMs ?? RUN_TIMEOUT_MS
  const outputBytesMax = options.outputBytesMax ?? OUTPUT_BYTES_MAX
  const stdout = new BoundedOutput(outputBytesMax)
  const stderr = new BoundedOutput(outputBytesMax)
  const failed = (failure: ProgramFailure, cause?: unknown): ProgramError =>
    new ProgramError(options.argv, failure, {
      stderrTail: stderr.tail(),
      stdout: stdout.text(),
      cause,
    })
  if (options.signal?.aborted) throw failed({ at: 'aborted' }, options.signal.reason)

  const child = spawnPlaced(options, ['pipe', 'pipe', 'pipe'])
  const ended = awaitEnd(child)
  let killedFor: ProgramFailure | undefined
  const kill = (failure: ProgramFailure): void => {
    killedFor ??= failure
    // Its pipes can outlive it; then only the rest of the group is left to end.
    if (child.exitCode === null && child.signalCode === null) killGroup(child.pid, 'SIGKILL')
    else killRemains(child.pid)
  }
  child.stdout?.on(
    'data',
    (chunk: Buffer) => stdout.add(chunk) || kill({ at: 'output-limit', outputBytesMax }),
  )
  child.stderr?.on(
    'data',
    (chunk: Buffer) => stderr.add(chunk) || kill({ at: 'output-limit', outputBytesMax }),
  )
  // A program may end without reading its input; that is its business (EPIPE), its exit code tells the story.
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(options.input)
  const onAbort = (): void => kill({ at: 'aborted' })
  options.signal?.addEventListener('abort', onAbort, { once: true })
  const deadline = setTimeout(() => kill({ at: 'deadline', timeoutMs }), timeoutMs)
  try {
    const end = await ended
    if (killedFor !== undefined) throw failed(killedFor, options.signal?.reason)
    if (end.at === 'spawn-failed') throw failed({ at: 'spawn' }, end.cause)
    if (end.signal !== null) throw failed({ at: 'signal', signal: end.signal })
    if (end.code !== 0) throw failed({ at: 'exit', exitCode: end.code })
    return { stdout: stdout.text(), stderr: stderr.text() }
  } finally {
    clearTimeout(deadline)
    options.signal?.removeEventListener('abort', onAbort)
    // Background children of the program share its group and end with it.
    killRemains(child.pid)
  }
}

export interface StartOptions extends ProgramPlacement {
  argv: Argv
  env?: Readonly<Record<string, string | undefined>>
  cwd?: string
  /** stdout and stderr are appended here; without it they are dropped. The folder must exist. */
  logFile?: string
}

export interface ProgramExit {
  code: number | null
  signal: string | null
}

export interface RunningProgram {
  readonly pid: number
  /** Resolves once the program has ended and is reaped; never rejects. */
  readonly exited: Promise<ProgramExit>
  /**
   * Sends `signal` (default SIGTERM) to the group, after `graceMs` (default 5 s) SIGKILL, and waits for the end.
   * With `leaveGroup` only the leader is signalled, for a program whose children outlive it on purpose.
   * Safe to call twice and after the end.
   */
  stop(options?: {
    graceMs?: number
    signal?: NodeJS.Signals
    leaveGroup?: boolean
  }): Promise<ProgramExit>
  /** Lets our own process end before the program does, which then goes on without a parent. */
  release(): void
}

/**
 * Starts a program that goes on in the background, and becomes its parent. Throws ProgramError (`spawn`) when the
 * program does not exist; what it does after that is told by `exited`. It is not restarted: that is its owner's job.
 */
export function start(options: StartOptions): RunningProgram {
  const log = options.logFile === undefined ? 'ignore' : openSync(options.logFile, 'a', 0o640)
  let child: ChildProcess
  try {
    child = spawnPlaced(options, ['ignore', log, log])
  } finally {
    if (typeof log === 'number') closeSync(log)
  }
  const ended = awaitEnd(child)
  const pid = child.pid
  if (pid === undefined) throw new ProgramError(options.argv, { at: 'spawn' }, { stderrTail: '' })
  const exited = ended.then((end): ProgramExit =>
    end.at === 'ended' ? { code: end.code, signal: end.signal } : { code: null, signal: null },
  )
  let hasExited = false
  void exited.then(() => (hasExited = true))
  return {
    pid,
    exited,
    release: () => child.unref(),
    async stop({ graceMs = STOP_GRACE_MS, signal = 'SIGTERM', leaveGroup = false } = {}) {
      const send = (what: NodeJS.Signals): void => {
        if (leaveGroup) signalProcess(pid, what)
        else killGroup(pid, what)
      }
      if (!hasExited) {
        send(signal)
        const killTimer = setTimeout(() => send('SIGKILL'), graceMs)
        await exited
        clearTimeout(killTimer)
      }
      if (!leaveGroup) killRemains(pid)
      return exited
    },
  }
}

// ---- processes of the machine ----

export interface ProcessIdentity {
  pid: number
  /** Clock ticks after boot at which it started. A pid with another start is another process. */
  startTicks: string
}

/**
 * Who runs under a pid now, or undefined if nobody does. A zombie counts as nobody: it holds no file, lock or
 * socket any more, but `kill -0` still finds it until its parent reaps it, which can take long.
 */
export function findProcess(pid: number): ProcessIdentity | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The name in parentheses may hold spaces and parentheses itself; the fields follow the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0]
  const startTicks = fields[19]
  if (state === undefined || startTicks === undefined || state === 'Z' || state === 'X')
    return undefined
  return { pid, startTicks }
}

/** Sends a signal to one process; false if it does not exist any more. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch (cause) {
    if (isErrno(cause, 'ESRCH')) return false
    throw cause
  }
}

// ---- inside ----

type End =
  | { at: 'ended'; code: number; signal: null }
  | { at: 'ended'; code: null; signal: string }
  | SpawnFailed
interface SpawnFailed {
  at: 'spawn-failed'
  cause: unknown
}

function spawnPlaced(options: StartOptions, stdio: ('pipe' | 'ignore' | number)[]): ChildProcess {
  const [program, ...args] = placedArgv(options)
  return spawn(program, args, {
    stdio,
    // Its own session and with it its own process group, so that the whole of it can be signalled at once.
    detached: true,
    env: { ...baseEnvironment(), ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
}

function baseEnvironment(): Record<string, string> {
  const path = process.env['PATH']
  return {
    PATH: path === undefined ? SYSTEM_PATH : `${path}:${SYSTEM_PATH}`,
    HOME: process.env['HOME'] ?? '/root',
    // What programs print is parsed; it must not change with the language of the terminal.
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
  }
}

// Writing 0 moves the writer itself. The text is constant; folders and argv come as positional parameters.
const ENTER_CGROUPS =
  'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1/cgroup.procs" || exit 125; shift; n=$((n-1)); done; exec "$@"'

/** The argv with the steps into its place before it. Each step execs the next, so the pid stays the same. */
function placedArgv({ argv, netns, cgroups, user }: StartOptions): Argv {
  let placed: Argv = argv
  if (user !== undefined && user.uid !== process.getuid?.()) {
    placed = [
      'setpriv',
      `--reuid=${user.uid}`,
      `--regid=${user.gid}`,
      '--clear-groups',
      '--',
      ...placed,
    ]
  }
  if (netns !== undefined) placed = ['nsenter', `--net=${netns}`, '--', ...placed]
  if (cgroups !== undefined && cgroups.length > 0) {
    placed = [
      '/bin/sh',
      '-c',
      ENTER_CGROUPS,
      'enter-cgroups',
      String(cgroups.length),
      ...cgroups,
      ...placed,
    ]
  }
  return placed
}

function awaitEnd(child: ChildProcess): Promise<End> {
  return new Promise((resolve) => {
    child.once('error', (cause) => {
      // Also raised when a signal cannot be sent; only a child without a pid has failed to start.
      if (child.pid === undefined) resolve({ at: 'spawn-failed', cause })
    })
    const settle = (code: number | null, signal: string | null): void => {
      if (signal !== null) resolve({ at: 'ended', code: null, signal })
      else resolve({ at: 'ended', code: code ?? -1, signal: null })
    }
    // 'exit' is the end of the program, 'close' also of its pipes. A process that escaped the group may hold the
    // pipes for ever; it must not keep us waiting.
    let drain: NodeJS.Timeout | undefined
    child.once('close', (code, signal) => {
      clearTimeout(drain)
      settle(code, signal)
    })
    child.once('exit', (code, signal) => {
      drain = setTimeout(() => {
        child.stdout?.destroy()
        child.stderr?.destroy()
        settle(code, signal)
      }, PIPE_DRAIN_MS)
    })
  })
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid !== undefined) signalProcess(-pid, signal)
}

/**
 * Ends what is left of the group of a program that has ended and was reaped. The kernel gives its number to nobody while
 * the group has members; so if somebody has it, the group is empty, and this is another program that got the number.
 */
function killRemains(pid: number | undefined): void {
  if (pid !== undefined && !existsSync(`/proc/${pid}`)) killGroup(pid, 'SIGKILL')
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

class BoundedOutput {
  readonly #bytesMax: number
  readonly #chunks: Buffer[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** False once there is more than fits; what came before is kept. */
  add(chunk: Buffer): boolean {
    if (this.#bytes + chunk.length > this.#bytesMax) return false
    this.#bytes += chunk.length
    this.#chunks.push(chunk)
    return true
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }

  tail(): string {
    return Buffer.concat(this.#chunks).subarray(-STDERR_TAIL_BYTES).toString('utf8')
  }
}
