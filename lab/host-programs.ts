/** How the engines of one lab host are started. Each runs in the host's network namespace and cgroup. */
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { vtepMac } from '@nubo/base'
import { ProgramError, run, type Argv } from '@nubo/runtime'
import { writeJson, writeWhole } from './files.ts'
import type { HostFolders } from './home.ts'
import { ipBatch, NETNS_FOLDER, PREFIX, UNDERLAY_MTU_BYTES } from './underlay.ts'
import { isListening, waitUntil } from './wait.ts'

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
// The build with DPDK, used without it: it alone has userspace segmentation offload, which makes TCP between
// guests of one host about twenty times as fast.
const VSWITCHD = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk'
const READY_TIMEOUT_MS = 30_000
export const UNDERLAY_BRIDGE = 'br-phy'

export interface EngineSpec {
  name: 'ovsdb-server' | 'ovs-vswitchd' | 'containerd' | 'dockerd' | 'guard' | 'agent'
  argv: Argv
  env: Record<string, string>
  /** What must be so before it can start. */
  prepare?: () => Promise<void>
  /** Returns when it serves; also does what must be done anew after each start. */
  ready: (signal: AbortSignal) => Promise<void>
}

export interface HostEngineOptions {
  host: string
  /** Network namespace of the host. */
  namespace: string
  vtepAddress: string
  /** Of every host that the lab may ever have. */
  vtepAddresses: readonly string[]
  folders: HostFolders
  /** `/nubo/h1`: parent of every container's cgroup. */
  cgroupParent: string
  /** Certificate of the cloud, by which the container engine trusts the registry. May not exist yet. */
  caFile: string
}

export function databaseOfSwitch({ folders }: HostEngineOptions): EngineSpec {
  return {
    name: 'ovsdb-server',
    argv: [
      'ovsdb-server',
      folders.switchDatabase,
      `--remote=punix:${folders.switchSocket}`,
      '--remote=db:Open_vSwitch,Open_vSwitch,manager_options',
      `--pidfile=${join(folders.run, 'ovsdb-server.pid')}`,
      `--unixctl=${join(folders.run, 'ovsdb-server.ctl')}`,
      '-vsyslog:off',
      '-vconsole:info',
      '--no-chdir',
    ],
    env: switchEnvironment(folders),
    prepare: async () => {
      if (existsSync(folders.switchDatabase)) return
      await run({ argv: ['ovsdb-tool', 'create', `${folders.switchDatabase}.new`, SCHEMA] })
      await run({ argv: ['mv', `${folders.switchDatabase}.new`, folders.switchDatabase] })
    },
    ready: (signal) =>
      waitUntil(
        'the database of the switch answers',
        () => isListening({ path: folders.switchSocket }),
        {
          timeoutMs: READY_TIMEOUT_MS,
          signal,
        },
      ),
  }
}

export function switchDaemon(options: HostEngineOptions): EngineSpec {
  const { folders, namespace, vtepAddress, vtepAddresses, host } = options
  return {
    name: 'ovs-vswitchd',
    argv: [
      VSWITCHD,
      `unix:${folders.switchSocket}`,
      `--pidfile=${join(folders.run, 'ovs-vswitchd.pid')}`,
      `--unixctl=${join(folders.run, 'ovs-vswitchd.ctl')}`,
      '-vsyslog:off',
      '-vconsole:info',
      '--no-chdir',
    ],
    env: switchEnvironment(folders),
    // Written before the daemon starts, so that it finds all of it at once. A userspace tunnel needs the NIC of the
    // underlay in a bridge, and the tunnel's address on that bridge.
    prepare: async () => {
      await ovsVsctl(folders, [
        'init',
        `set Open_vSwitch . external-ids:system-id=${host} other_config:userspace-tso-enable=true`,
        `--may-exist add-br ${UNDERLAY_BRIDGE}`,
        `set Bridge ${UNDERLAY_BRIDGE} datapath_type=netdev fail_mode=standalone`,
        `set Bridge ${UNDERLAY_BRIDGE} other_config:hwaddr="${vtepMac(vtepAddress)}"`,
        `--may-exist add-port ${UNDERLAY_BRIDGE} eth0`,
        `set Interface ${UNDERLAY_BRIDGE} mtu_request=${UNDERLAY_MTU_BYTES}`,
      ])
    },
    // The bridge's device lives and dies with the daemon, and its address with it.
    ready: async (signal) => {
      await waitUntil('the underlay bridge appears', () => hasLink(namespace, UNDERLAY_BRIDGE), {
        timeoutMs: READY_TIMEOUT_MS,
        signal,
      })
      await ipBatch(namespace, [
        `link set ${UNDERLAY_BRIDGE} addrgenmode none`,
        `address replace ${vtepAddress}/${PREFIX} dev ${UNDERLAY_BRIDGE}`,
        `link set ${UNDERLAY_BRIDGE} up`,
        // Hosts look for each other from here. An ARP of the kernel would change what the switch knows of its tunnel ends,
        // and it drops a packet of guests while it looks at all its flows anew.
        ...vtepAddresses
          .filter((address) => address !== vtepAddress)
          .map(
            (address) =>
              `neighbour replace ${address} lladdr ${vtepMac(address)} dev ${UNDERLAY_BRIDGE} nud permanent`,
          ),
      ])
    },
  }
}

/** Our own containerd: dockerd would take the machine's if one runs, and one of its own would die with it. */
export function containerRuntime({ folders }: HostEngineOptions): EngineSpec {
  const configFile = join(folders.run, 'containerd.toml')
  return {
    name: 'containerd',
    argv: ['containerd', '--config', configFile],
    env: {},
    prepare: async () => writeWhole(configFile, containerdConfig(folders)),
    ready: (signal) =>
      waitUntil('containerd answers', () => isListening({ path: folders.containerdSocket }), {
        timeoutMs: READY_TIMEOUT_MS,
        signal,
      }),
  }
}

function containerdConfig(folders: HostFolders): string {
  return `version = 2
root = ${JSON.stringify(folders.containerd)}
state = ${JSON.stringify(join(folders.run, 'containerd'))}
# Lowering one's own score needs a capability that the machine may lack.
oom_score = 0
# Not needed, and \`opt\` would make a folder outside of ours.
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[debug]
  level = "warn"
[grpc]
  address = ${JSON.stringify(folders.containerdSocket)}
[ttrpc]
  address = ${JSON.stringify(`${folders.containerdSocket}.ttrpc`)}
`
}

export function containerEngine(options: HostEngineOptions): EngineSpec {
  const { folders } = options
  const configFile = join(folders.run, 'dockerd.json')
  return {
    name: 'dockerd',
    argv: [
      'dockerd',
      // Also keeps it from reading the machine's own configuration.
      '--config-file',
      configFile,
      '--host',
      `unix://${folders.dockerSocket}`,
      '--group',
      'root',
      '--containerd',
      folders.containerdSocket,
      '--data-root',
      folders.docker,
      '--exec-root',
      join(folders.run, 'docker'),
      '--pidfile',
      join(folders.run, 'docker.pid'),
      '--storage-driver',
      'overlay2',
      '--iptables=false',
      '--ip6tables=false',
      '--bridge=none',
      '--ip-forward=false',
      '--ip-masq=false',
      '--userland-proxy=false',
      '--exec-opt',
      'native.cgroupdriver=cgroupfs',
      '--cgroup-parent',
      options.cgroupParent,
      '--live-restore',
      '--log-level',
      'warn',
    ],
    // The registry's certificate comes from the cloud's own authority.
    env: { SSL_CERT_FILE: options.caFile },
    prepare: async () => {
      // The key is of no use, but dockerd would make it in /etc.
      writeJson(configFile, { 'deprecated-key-path': join(folders.run, 'docker-key.json') })
      // After kill -9 its pid may look alive for a while, as a zombie; that it is not is known to its parent, us.
      await run({ argv: ['rm', '-f', join(folders.run, 'docker.pid')] })
    },
    ready: (signal) =>
      waitUntil('the container engine answers', () => answersPing(folders.dockerSocket), {
        timeoutMs: READY_TIMEOUT_MS,
        signal,
      }),
  }
}

/** One ovs-vsctl, so one transaction, for several commands. Their words hold no spaces. Does not wait for the daemon. */
async function ovsVsctl(folders: HostFolders, commands: readonly string[]): Promise<void> {
  const words = commands.flatMap((command) => ['--', ...command.split(' ')])
  await run({
    argv: ['ovs-vsctl', `--db=unix:${folders.switchSocket}`, '--no-wait', '--timeout=20', ...words],
  })
}

function switchEnvironment({ run: folder }: HostFolders): Record<string, string> {
  // The run folder is where the bridges' management sockets appear.
  return { OVS_RUNDIR: folder, OVS_DBDIR: folder, OVS_LOGDIR: folder, OVS_SYSCONFDIR: folder }
}

async function hasLink(namespace: string, link: string): Promise<boolean> {
  try {
    await run({ argv: ['ip', '-n', namespace, 'link', 'show', 'dev', link] })
    return true
  } catch (error) {
    if (error instanceof ProgramError && error.failure.at === 'exit') return false
    throw error
  }
}

function answersPing(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: 2_000 }, (reply) => {
      reply.resume()
      reply.once('end', () => resolve(reply.statusCode === 200))
    })
    ping.once('timeout', () => ping.destroy())
    ping.once('error', () => resolve(false))
    ping.end()
  })
}

export function namespacePath(namespace: string): string {
  return `${NETNS_FOLDER}/${namespace}`
}
