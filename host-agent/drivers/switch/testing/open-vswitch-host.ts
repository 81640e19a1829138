import { access, mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { vtepMac } from '@nubo/base'
import { run, start, type RunningProgram } from '@nubo/runtime/process'

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
const VSWITCHD = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk'
const USERSPACE_TSO = 'other_config:userspace-tso-enable=true'
const WAIT_DEADLINE_MS = 15_000

let hostsMade = 0

/**
 * A host for tests: a network namespace with an ovsdb-server and an ovs-vswitchd of its own, and an underlay bridge
 * prepared as host preparation does it. Everything is in one folder and gone after `remove`.
 */
export class OpenVswitchHost {
  readonly netns: string
  readonly folder: string
  readonly ovsdbSocket: string
  readonly vtepAddress: string
  readonly #guests: string[] = []
  #ovsdbServer: RunningProgram | undefined
  #vswitchd: RunningProgram | undefined

  private constructor(netns: string, folder: string, vtepAddress: string) {
    this.netns = netns
    this.folder = folder
    this.vtepAddress = vtepAddress
    this.ovsdbSocket = join(folder, 'db.sock')
  }

  static async start(vtepAddress = '192.168.77.1'): Promise<OpenVswitchHost> {
    hostsMade += 1
    const netns = `nt${process.pid}s${hostsMade}`
    const folder = await mkdtemp(join(tmpdir(), 'nsw-'))
    const host = new OpenVswitchHost(netns, folder, vtepAddress)
    try {
      await run({ argv: ['ip', 'netns', 'add', netns] })
      await host.ip('link', 'set', 'lo', 'up')
      await run({ argv: ['ovsdb-tool', 'create', join(folder, 'conf.db'), SCHEMA] })
      await host.startOvsdbServer()
      await host.vsctl('--no-wait', 'init')
      await host.vsctl('--no-wait', 'set', 'Open_vSwitch', '.', USERSPACE_TSO)
      await host.startVswitchd()
      await host.#prepareUnderlay()
    } catch (error) {
      await host.remove()
      throw error
    }
    return host
  }

  async startOvsdbServer(): Promise<void> {
    const { folder } = this
    this.#ovsdbServer = start({
      argv: [
        'ovsdb-server',
        join(folder, 'conf.db'),
        `--remote=punix:${this.ovsdbSocket}`,
        `--unixctl=${join(folder, 'ovsdb-server.ctl')}`,
        `--log-file=${join(folder, 'ovsdb-server.log')}`,
        '-vconsole:off',
        '--no-chdir',
      ],
      env: { OVS_RUNDIR: folder },
    })
    await waitUntil(() => answers(this.ovsdbSocket))
  }

  async startVswitchd(): Promise<void> {
    const { folder } = this
    this.#vswitchd = start({
      argv: [
        VSWITCHD,
        `unix:${this.ovsdbSocket}`,
        `--pidfile=${join(folder, 'ovs-vswitchd.pid')}`,
        `--log-file=${join(folder, 'ovs-vswitchd.log')}`,
        '-vconsole:off',
        '--no-chdir',
      ],
      // The bridge's management socket and the control socket appear in OVS_RUNDIR.
      env: { OVS_RUNDIR: folder, OVS_DBDIR: folder, OVS_LOGDIR: folder, OVS_SYSCONFDIR: folder },
      netns: `/run/netns/${this.netns}`,
    })
    await waitUntil(() => exists(this.#controlSocket))
  }

  async killOvsdbServer(): Promise<void> {
    await this.#ovsdbServer?.stop({ signal: 'SIGKILL' })
  }

  async killVswitchd(): Promise<void> {
    await this.#vswitchd?.stop({ signal: 'SIGKILL' })
  }

  /** A veth pair: `name` in the host, `<name>p` beside it. */
  async makeDevice(name: string): Promise<void> {
    await this.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`)
    await this.ip('link', 'set', name, 'up')
  }

  /** A veth pair: `name` in the host, its peer `eth0` in a namespace of its own, whose name is returned. */
  async makeGuest(name: string, guest: { address: string; mac: string }): Promise<string> {
    const inner = `${this.netns}${name}`
    if (!this.#guests.includes(inner)) {
      await run({ argv: ['ip', 'netns', 'add', inner] })
      this.#guests.push(inner)
    }
    const peer = `${name}p`
    await this.ip('link', 'add', name, 'mtu', '1450', 'type', 'veth', 'peer', 'name', peer)
    await this.ip('link', 'set', name, 'up')
    await this.ip('link', 'set', peer, 'mtu', '1450', 'address', guest.mac, 'netns', inner)
    await run({ argv: ['ip', '-n', inner, 'link', 'set', peer, 'name', 'eth0', 'up'] })
    await run({ argv: ['ip', '-n', inner, 'address', 'add', guest.address, 'dev', 'eth0'] })
    // Userspace tunnels drop packets whose checksum is left to the hardware.
    await run({ argv: ['ethtool', '-K', 'eth0', 'tx', 'off'], netns: `/run/netns/${inner}` })
    return inner
  }

  /** Does nothing if there is none. */
  async removeDevice(name: string): Promise<void> {
    const links = await this.ip('-o', 'link')
    if (links.includes(` ${name}@`)) await this.ip('link', 'delete', name)
  }

  /** Joins the underlays of two hosts with a cable. */
  async cable(other: OpenVswitchHost): Promise<void> {
    const peer = ['peer', 'name', 'eth0', 'mtu', '1600', 'netns', other.netns] as const
    await this.ip('link', 'add', 'eth0', 'mtu', '1600', 'type', 'veth', ...peer)
    for (const host of [this, other]) {
      await host.ip('link', 'set', 'eth0', 'up')
      await host.vsctl('add-port', 'br-phy', 'eth0')
    }
  }

  /** ip(8) in the namespace of the host. */
  async ip(...argv: readonly string[]): Promise<string> {
    return (await run({ argv: ['ip', '-n', this.netns, ...argv] })).stdout
  }

  async vsctl(...argv: readonly string[]): Promise<string> {
    const database = `--db=unix:${this.ovsdbSocket}`
    return (await run({ argv: ['ovs-vsctl', database, '--timeout=10', ...argv] })).stdout
  }

  async appctl(...argv: readonly string[]): Promise<string> {
    const target = ['-t', this.#controlSocket] as const
    return (await run({ argv: ['ovs-appctl', '--timeout=10', ...target, ...argv] })).stdout
  }

  async remove(): Promise<void> {
    await this.killVswitchd()
    await this.killOvsdbServer()
    for (const netns of [...this.#guests, this.netns]) {
      // It may never have been made, if the start failed; what matters is that it is gone.
      await run({ argv: ['ip', 'netns', 'delete', netns] }).catch(() => undefined)
    }
    await rm(this.folder, { recursive: true, force: true })
  }

  /** The program that enters the namespace replaces itself, so what was started is the switch. */
  get #controlSocket(): string {
    return join(this.folder, `ovs-vswitchd-dpdk.${this.#vswitchd?.pid}.ctl`)
  }

  async #prepareUnderlay(): Promise<void> {
    await this.vsctl('add-br', 'br-phy', '--', 'set', 'bridge', 'br-phy', 'datapath_type=netdev')
    const hardwareAddress = `other_config:hwaddr="${vtepMac(this.vtepAddress)}"`
    await this.vsctl('set', 'bridge', 'br-phy', 'fail_mode=standalone', hardwareAddress)
    await this.vsctl('set', 'interface', 'br-phy', 'mtu_request=1600')
    await this.ip('address', 'add', `${this.vtepAddress}/24`, 'dev', 'br-phy')
    await this.ip('link', 'set', 'br-phy', 'up')
  }
}

/** Looks again and again until it is so; throws after 15 s. */
export async function waitUntil(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = AbortSignal.timeout(WAIT_DEADLINE_MS)
  while (!(await condition())) {
    deadline.throwIfAborted()
    await delay(5)
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
