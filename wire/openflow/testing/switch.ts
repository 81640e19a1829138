import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, openSync, closeSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * A throw-away Open vSwitch for tests: its own processes, its own directory, ports that exist only in its memory
 * (`--enable-dummy`), hence nothing in the network of the machine and nothing to leave behind.
 */
export interface TestSwitch {
  /** Socket of the bridge for OpenFlow clients. */
  readonly socketPath: string
  /** Runs ovs-ofctl with `-O` and the arguments; the bridge's socket is appended to the first. */
  readonly ofctl: (command: string, ...args: string[]) => Promise<string>
  /** The same with options in front, e.g. ['--bundle']. */
  readonly ofctlWith: (
    options: readonly string[],
    command: string,
    ...args: string[]
  ) => Promise<string>
  readonly appctl: (...args: string[]) => Promise<string>
  readonly vsctl: (...args: string[]) => Promise<string>
  /** Lets a packet come in by a port: `p1` is port 1, `p2` is port 2, ... */
  readonly receive: (portName: string, packet: Uint8Array) => Promise<void>
  /** Ends both processes and removes the directory. Idempotent. */
  readonly stop: () => Promise<void>
}

const OVSDB_SERVER = '/usr/sbin/ovsdb-server'
const VSWITCHD = '/usr/sbin/ovs-vswitchd'
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
const START_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 5_000
const COMMAND_TIMEOUT_MS = 30_000
const BRIDGE = 'br0'

/** Starts a switch with a bridge and `portCount` ports. */
export async function startTestSwitch({ portCount = 3 } = {}): Promise<TestSwitch> {
  const directory = await mkdtemp(join(tmpdir(), 'nt-of-'))
  const children: ChildProcess[] = []
  const killAll = (): void => children.forEach((child) => child.kill('SIGKILL'))
  // A test file that ends early, by an exception outside of a test, must leave no switch behind.
  process.once('exit', killAll)
  const stop = async (): Promise<void> => {
    process.off('exit', killAll)
    for (const child of children.toReversed()) await stopChild(child)
    await rm(directory, { recursive: true, force: true })
  }
  try {
    const paths = await startProcesses(directory, children)
    const tools = commands(directory, paths)
    await tools.vsctl(...bridgeCommand(portCount))
    return { ...tools, stop }
  } catch (error) {
    const log = logTail(directory)
    await stop()
    throw new Error(`the switch did not start: ${log}`, { cause: error })
  }
}

interface Paths {
  readonly database: string
  readonly control: string
}

async function startProcesses(directory: string, children: ChildProcess[]): Promise<Paths> {
  const database = join(directory, 'db.sock')
  const control = join(directory, 'v.ctl')
  const file = join(directory, 'conf.db')
  await run('ovsdb-tool', ['create', file, SCHEMA], { timeout: COMMAND_TIMEOUT_MS })
  children.push(
    start(directory, OVSDB_SERVER, [
      file,
      `--remote=punix:${database}`,
      `--unixctl=${join(directory, 'db.ctl')}`,
    ]),
  )
  await waitUntil(() => existsSync(database), 'ovsdb-server')
  await run('ovs-vsctl', [`--db=unix:${database}`, '--no-wait', 'init'], {
    timeout: COMMAND_TIMEOUT_MS,
  })
  children.push(
    start(directory, VSWITCHD, [`unix:${database}`, `--unixctl=${control}`, '--enable-dummy']),
  )
  await waitUntil(() => existsSync(control), 'ovs-vswitchd')
  return { database, control }
}

function start(directory: string, program: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(directory, 'log'), 'a')
  const child = spawn(program, [...args, '-vconsole:warn', '-vsyslog:off'], {
    stdio: ['ignore', log, log],
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      OVS_RUNDIR: directory,
      OVS_DBDIR: directory,
      OVS_LOGDIR: directory,
      OVS_SYSCONFDIR: directory,
    },
  })
  closeSync(log)
  return child
}

function bridgeCommand(portCount: number): string[] {
  const command = ['--timeout=20', 'add-br', BRIDGE, '--', 'set', 'bridge', BRIDGE]
  command.push('datapath_type=dummy', 'fail_mode=secure')
  command.push('protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15')
  for (let port = 1; port <= portCount; port += 1) {
    command.push('--', 'add-port', BRIDGE, `p${port}`)
    command.push('--', 'set', 'interface', `p${port}`, 'type=dummy', `ofport_request=${port}`)
  }
  return command
}

function commands(directory: string, { database, control }: Paths): Omit<TestSwitch, 'stop'> {
  const socketPath = join(directory, `${BRIDGE}.mgmt`)
  const command = async (program: string, args: readonly string[]): Promise<string> => {
    const options = { timeout: COMMAND_TIMEOUT_MS, maxBuffer: 256 * 1024 * 1024 }
    return (await run(program, [...args], options)).stdout
  }
  const ofctlWith: TestSwitch['ofctlWith'] = (options, name, ...args) =>
    command('ovs-ofctl', ['-O', 'OpenFlow14', ...options, name, `unix:${socketPath}`, ...args])
  return {
    socketPath,
    ofctlWith,
    ofctl: (name, ...args) => ofctlWith([], name, ...args),
    appctl: (...args) => command('ovs-appctl', ['-t', control, ...args]),
    vsctl: (...args) => command('ovs-vsctl', [`--db=unix:${database}`, ...args]),
    async receive(portName, packet) {
      const hex = Buffer.from(packet).toString('hex')
      await command('ovs-appctl', ['-t', control, 'netdev-dummy/receive', portName, hex])
    },
  }
}

function logTail(directory: string): string {
  const path = join(directory, 'log')
  return existsSync(path) ? readFileSync(path, 'utf8').slice(-2_000) : 'no log'
}

async function waitUntil(isReady: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!isReady()) {
    if (performance.now() > deadline) throw new Error(`${what} is not ready`)
    await delay(10)
  }
}

function delay(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setTimeout(resolve, ms)
  return promise
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const { promise, resolve } = Promise.withResolvers<void>()
  child.once('exit', () => resolve())
  child.kill('SIGTERM')
  const kill = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await promise
  clearTimeout(kill)
}
