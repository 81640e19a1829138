/**
 * Throw-away hosts with their own Open vSwitch, for tests that need real packets. Each host is a network namespace with
 * ovsdb-server and ovs-vswitchd (userspace datapath with TSO, no DPDK devices), `br-phy` with the tunnel address on a
 * shared underlay, and `br-int` with a flow-keyed VXLAN port. Guests are namespaces with one interface.
 *
 * Names start with `ntl<pid>`, so runs do not meet. `close` removes everything; engines die with the test process; and
 * the next lab removes namespaces and folders whose process is gone.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execFileAsync = promisify(execFile)

const PROGRAM_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 5_000
const NETNS_DIR = '/run/netns'
const UNDERLAY_MTU_BYTES = 1600
const GUEST_MTU_BYTES = 1450
const VSWITCHD = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk'
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end, whatever its exit code. Rejects if it cannot start or exceeds its time. */
export async function run(argv: readonly [string, ...string[]], input = ''): Promise<Ran> {
  const [file, ...args] = argv
  const running = execFileAsync(file, args, {
    timeout: PROGRAM_TIMEOUT_MS,
    maxBuffer: 64 * 2 ** 20,
  })
  // A program may end without reading; its exit code says what that means, not the broken pipe.
  running.child.stdin?.on('error', () => undefined)
  running.child.stdin?.end(input)
  try {
    const { stdout, stderr } = await running
    return { code: 0, stdout, stderr }
  } catch (error) {
    const failed = error as { code?: unknown; stdout?: string; stderr?: string } // proof: ExecFileException
    if (typeof failed.code !== 'number') throw error
    return { code: failed.code, stdout: failed.stdout ?? '', stderr: failed.stderr ?? '' }
  }
}

/** Runs a program that must succeed; returns what it printed. */
export async function must(argv: readonly [string, ...string[]], input = ''): Promise<string> {
  const ran = await run(argv, input)
  if (ran.code === 0) return ran.stdout
  throw new Error(`${argv.join(' ')} ended with ${ran.code}: ${ran.stderr}`)
}

export interface GuestOptions {
  readonly ofport: number
  readonly mac: string
  /** With the prefix: '10.0.0.5/24'. */
  readonly address: string
  readonly gateway: string
}

export class Guest {
  readonly netns: string
  readonly interfaceName: string
  readonly #programs: ChildProcess[] = []

  constructor(netns: string, interfaceName: string) {
    this.netns = netns
    this.interfaceName = interfaceName
  }

  /** Runs a program inside the guest. */
  run(...argv: readonly [string, ...string[]]): Promise<Ran> {
    return run(['nsenter', `--net=${NETNS_DIR}/${this.netns}`, ...argv])
  }

  async must(...argv: readonly [string, ...string[]]): Promise<string> {
    const ran = await this.run(...argv)
    if (ran.code === 0) return ran.stdout
    throw new Error(`${argv.join(' ')} ended with ${ran.code}: ${ran.stdout}${ran.stderr}`)
  }

  /** Starts a program inside the guest that runs until the lab closes. */
  start(...argv: readonly [string, ...string[]]): void {
    this.#programs.push(startProgram(this.netns, argv))
  }

  async stop(): Promise<void> {
    for (const program of this.#programs) await stopProgram(program)
  }

  /** How many of `count` pings were answered within a second each. */
  async ping(address: string, options: readonly string[] = [], count = 3): Promise<number> {
    const base = ['-n', '-c', String(count), '-i', '0.1', '-W', '1', ...options, address] as const
    const ran = await this.run('ping', ...base)
    const received = /(\d+) received/.exec(ran.stdout)?.[1]
    if (received === undefined) throw new Error(`ping ${address}: ${ran.stdout}${ran.stderr}`)
    return Number(received)
  }
}

export class OvsHost {
  readonly netns: string
  readonly dir: string
  readonly vtep: string
  readonly tunnelOfport = 100
  readonly #number: number
  readonly #engines: ChildProcess[] = []
  readonly #guests: Guest[] = []

  constructor(options: { prefix: string; number: number; dir: string }) {
    this.#number = options.number
    this.netns = `${options.prefix}-${options.number}`
    this.dir = options.dir
    this.vtep = `192.168.100.${10 + options.number}`
  }

  get ovsdbSocket(): string {
    return join(this.dir, 'db')
  }

  /** Where OpenFlow clients of `br-int` connect. */
  get openflowSocket(): string {
    return join(this.dir, 'br-int.mgmt')
  }

  async start(underlay: string): Promise<void> {
    await this.#makeUnderlayLink(underlay)
    await must(['ovsdb-tool', 'create', join(this.dir, 'conf.db'), SCHEMA])
    this.#startEngine('ovsdb-server', [
      join(this.dir, 'conf.db'),
      `--remote=punix:${this.ovsdbSocket}`,
      `--unixctl=${join(this.dir, 'db.ctl')}`,
    ])
    await this.vsctl('--no-wait', 'init', '--', 'set', 'Open_vSwitch', '.', [
      'other_config:userspace-tso-enable=true',
    ])
    this.#startEngine(VSWITCHD, [
      `unix:${this.ovsdbSocket}`,
      `--unixctl=${join(this.dir, 'vswitchd.ctl')}`,
      `--pidfile=${join(this.dir, 'vswitchd.pid')}`,
    ])
    await this.#makeBridges()
    const batch = [`addr add ${this.vtep}/24 dev br-phy`, 'link set br-phy up'].join('\n')
    await must(['ip', '-n', this.netns, '-batch', '-'], batch)
  }

  async #makeUnderlayLink(underlay: string): Promise<void> {
    await must(['ip', 'netns', 'add', this.netns])
    const peer = `h${this.#number}`
    const mtu = `mtu ${UNDERLAY_MTU_BYTES}`
    await must(
      ['ip', '-n', this.netns, '-batch', '-'],
      [
        'link set lo up',
        `link add eth0 ${mtu} type veth peer name ${peer} ${mtu} netns ${underlay}`,
        'link set eth0 up',
      ].join('\n'),
    )
    await must(['ip', '-n', underlay, 'link', 'set', peer, 'master', 'br-ul', 'up'])
  }

  async #makeBridges(): Promise<void> {
    await this.vsctl(
      ['add-br', 'br-phy', '--', 'set', 'bridge', 'br-phy', 'datapath_type=netdev'],
      ['fail_mode=standalone', '--', 'add-port', 'br-phy', 'eth0'],
      ['--', 'set', 'interface', 'br-phy', `mtu_request=${UNDERLAY_MTU_BYTES}`],
      ['--', 'add-br', 'br-int', '--', 'set', 'bridge', 'br-int', 'datapath_type=netdev'],
      ['fail_mode=secure', '--', 'add-port', 'br-int', 'vx0', '--', 'set', 'interface', 'vx0'],
      ['type=vxlan', 'options:key=flow', 'options:remote_ip=flow', 'options:dst_port=4789'],
      [`options:local_ip=${this.vtep}`, `ofport_request=${this.tunnelOfport}`],
    )
  }

  #startEngine(program: string, args: readonly string[]): void {
    const env = { OVS_RUNDIR: this.dir, OVS_DBDIR: this.dir, OVS_LOGDIR: this.dir }
    const argv = [program, ...args, '-vconsole:off', '-vsyslog:off'] as const
    this.#engines.push(startProgram(this.netns, argv, env))
  }

  /** ovs-vsctl on this host; waits for the database, and until the switch has done it. */
  vsctl(...args: readonly (string | readonly string[])[]): Promise<string> {
    const database = `--db=unix:${this.ovsdbSocket}`
    return must(['ovs-vsctl', database, '--retry', '--timeout=15', ...args.flat()])
  }

  /** ovs-ofctl on br-int, OpenFlow 1.5: `ofctl('dump-flows', BRIDGE)` with the socket in place of BRIDGE. */
  ofctl(command: readonly string[], after: readonly string[] = [], input = ''): Promise<string> {
    const socket = `unix:${this.openflowSocket}`
    return must(['ovs-ofctl', '-O', 'OpenFlow15', ...command, socket, ...after], input)
  }

  appctl(...args: readonly string[]): Promise<string> {
    return must(['ovs-appctl', '-t', join(this.dir, 'vswitchd.ctl'), '--timeout=10', ...args])
  }

  /** What the pipeline would do with a packet, as ovs-appctl ofproto/trace tells it. */
  trace(packet: string): Promise<string> {
    return this.appctl('ofproto/trace', 'br-int', packet)
  }

  /** Tells the switch the MAC of another host's tunnel address, so that the first packet is not lost. */
  async know(other: OvsHost): Promise<void> {
    const shown = await must(['ip', '-n', other.netns, '-o', 'link', 'show', 'br-phy'])
    const mac = /link\/ether ([0-9a-f:]{17})/.exec(shown)?.[1]
    if (mac === undefined) throw new Error(`br-phy of ${other.netns} has no MAC: ${shown}`)
    await this.appctl('tnl/neigh/set', 'br-phy', other.vtep, mac)
  }

  async addGuest({ ofport, mac, address, gateway }: GuestOptions): Promise<Guest> {
    const number = this.#guests.length + 1
    const netns = `${this.netns}g${number}`
    const link = `g${number}`
    const mtu = `mtu ${GUEST_MTU_BYTES}`
    await must(['ip', 'netns', 'add', netns])
    await must(
      ['ip', '-n', this.netns, '-batch', '-'],
      [
        `link add ${link} ${mtu} type veth peer name eth0 ${mtu} address ${mac} netns ${netns}`,
        `link set ${link} up`,
      ].join('\n'),
    )
    await must(
      ['ip', '-n', netns, '-batch', '-'],
      [
        'link set lo up',
        `addr add ${address} dev eth0`,
        'link set eth0 up',
        `route add default via ${gateway}`,
      ].join('\n'),
    )
    const guest = new Guest(netns, link)
    this.#guests.push(guest)
    // OVS 3.1 drops packets with unfinished checksums at a native tunnel: the guest finishes them itself.
    await guest.must('ethtool', '-K', 'eth0', 'tx', 'off')
    const request = `ofport_request=${ofport}`
    await this.vsctl('add-port', 'br-int', link, '--', 'set', 'interface', link, request)
    return guest
  }

  async stop(): Promise<void> {
    for (const guest of this.#guests) await guest.stop()
    for (const engine of this.#engines.reverse()) await stopProgram(engine)
  }
}

/** Starts a program in a namespace. It gets SIGKILL if the test process dies, so that no run leaves any behind. */
function startProgram(
  netns: string,
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const inNamespace = ['nsenter', `--net=${NETNS_DIR}/${netns}`, ...argv]
  return spawn('setpriv', ['--pdeathsig', 'KILL', ...inNamespace], {
    stdio: 'ignore',
    env: { ...process.env, ...env },
  })
}

async function stopProgram(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return
  program.kill('SIGTERM')
  try {
    await once(program, 'exit', { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
  } catch {
    program.kill('SIGKILL')
  }
}

export interface OvsLab {
  readonly hosts: readonly OvsHost[]
  /** A folder that goes with the lab. */
  readonly dir: string
  /** Ends the engines and removes namespaces and files. Idempotent. */
  close(): Promise<void>
}

let labs = 0

/** Makes `hostCount` hosts that know each other's tunnel addresses; their `br-int` has no flows. Needs root. */
export async function createOvsLab(hostCount: number): Promise<OvsLab> {
  await removeLeftovers()
  labs += 1
  const prefix = `ntl${process.pid}-${labs}`
  const underlay = `${prefix}-u`
  const dir = await mkdtemp(join(tmpdir(), `${prefix}-`))
  const hosts: OvsHost[] = []
  const close = async (): Promise<void> => {
    await Promise.all(hosts.map((host) => host.stop()))
    await removeNamespaces((name) => name.startsWith(`${prefix}-`))
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await must(['ip', 'netns', 'add', underlay])
    const bridge = 'link add br-ul mtu 1600 type bridge\nlink set br-ul up'
    await must(['ip', '-n', underlay, '-batch', '-'], bridge)
    for (let number = 1; number <= hostCount; number++) {
      const hostDir = await mkdtemp(join(dir, 'h'))
      hosts.push(new OvsHost({ prefix, number, dir: hostDir }))
    }
    await Promise.all(hosts.map((host) => host.start(underlay)))
    for (const host of hosts) {
      for (const other of hosts) if (other !== host) await host.know(other)
    }
    return { hosts, dir, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Removes namespaces and folders of labs whose process is gone. */
async function removeLeftovers(): Promise<void> {
  const isLeftover = (name: string): boolean => {
    const pid = /^ntl(\d+)-/.exec(name)?.[1]
    return pid !== undefined && !existsSync(`/proc/${pid}`)
  }
  await removeNamespaces(isLeftover)
  for (const name of await readdir(tmpdir())) {
    if (isLeftover(name)) await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}

async function removeNamespaces(which: (name: string) => boolean): Promise<void> {
  if (!existsSync(NETNS_DIR)) return
  for (const name of await readdir(NETNS_DIR)) {
    if (which(name)) await run(['ip', 'netns', 'del', name])
  }
}
