/** What benches stand on: one cloud of their own on this machine, guests beside it, and the programs they need. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  copyFileSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type Client } from '@nubo/client'
import type { Operation, SetView } from '@nubo/contracts'
import { createLab, type HostFolders, type Lab, type LabStatus } from '@nubo/lab'
import { run, systemClock, systemRandom, type Argv } from '@nubo/runtime'
import { DockerClient } from '@nubo/wire-docker'

const OPERATION_TIMEOUT_MS = 60_000
const PROGRAM_TIMEOUT_MS = 20_000
const PROJECT = 'bench'
export const IMAGE = 'busybox'
export const NETWORK = 'bench'
export const SUBNET = 'bench'
/** With 254 addresses: a freed one rests before it is given again, and each round needs one. */
const SUBNET_RANGES = { network: '10.77.0.0/16', subnet: '10.77.0.0/20' }
export const SUBNET_PREFIX = 20
/** As its underlay allows; what the network says (mtuBytes) is checked when the stage is made. */
export const GUEST_MTU_BYTES = 1450

/** A folder for a home of a cloud. Short, because paths of sockets lie in it; its database runs as another user. */
export function makeHomeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nbb-'))
  chmodSync(folder, 0o711)
  return folder
}

export interface StageHost {
  readonly name: string
  /** Of its network namespace. */
  readonly namespace: string
  readonly vtep: string
  readonly folders: HostFolders
  readonly docker: DockerClient
}

export interface Address {
  readonly mac: string
  readonly address: string
}

/** A network namespace with one interface, `eth0`, whose other end lies in a host's namespace. */
export interface Guest {
  readonly namespace: string
  readonly hostInterface: string
}

export class Stage {
  readonly lab: Lab
  readonly operator: Client
  /** Of a member of the project `bench`. */
  readonly tenant: Client
  readonly hosts: readonly [StageHost, StageHost]
  readonly #folder: string
  #guestsMade = 0
  #isClosed = false

  private constructor(parts: {
    lab: Lab
    tenant: Client
    hosts: [StageHost, StageHost]
    folder: string
  }) {
    this.lab = parts.lab
    this.operator = parts.lab.client()
    this.tenant = parts.tenant
    this.hosts = parts.hosts
    this.#folder = parts.folder
  }

  /** Two hosts, a project with an image, a network with one subnet. What it started is gone if it rejects. */
  static async start(): Promise<Stage> {
    const folder = makeHomeFolder()
    // Compiled code is kept as `nubo up` has it kept: without it each process also holds the compiler.
    const lab = createLab({
      home: join(folder, 'c'),
      nodeCompileCache: process.env['NODE_COMPILE_CACHE'],
    })
    try {
      const status = await lab.up({ hosts: 2 })
      const tenant = await makeTenant(lab)
      await tenant.imageImport({
        query: { name: IMAGE, command: ['sh'] },
        open: () => once(busyboxTar(folder)),
      })
      const { network, subnet } = SUBNET_RANGES
      await tenant.networkCreate({ body: { name: NETWORK, cidr: network } })
      await tenant.subnetCreate({ body: { network: NETWORK, name: SUBNET, cidr: subnet } })
      return new Stage({ lab, tenant, hosts: hostsOf(lab, status), folder })
    } catch (error) {
      await lab.down({ purge: true })
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Ends the cloud and removes everything of it. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { docker } of this.hosts) docker.close()
    await this.lab.down({ purge: true })
    // After that, because a bench that was interrupted may have been making one.
    for (let number = 1; number <= this.#guestsMade; number += 1)
      await run({ argv: ['ip', 'netns', 'del', guestNamespace(number)] }).catch(() => undefined)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async pidOf(program: string): Promise<number> {
    const status = await this.lab.status()
    const pid = status?.processes.find(({ name }) => name === program)?.pid
    if (pid === undefined || pid === null) throw new Error(`${program} does not run`)
    return pid
  }

  // ---- guests ----

  async addGuest(host: StageHost, { mac, address }: Address): Promise<Guest> {
    if (this.#isClosed) throw new Error('the stage is closed')
    this.#guestsMade += 1
    const namespace = guestNamespace(this.#guestsMade)
    const hostInterface = `bg${this.#guestsMade}`
    const mtu = `mtu ${GUEST_MTU_BYTES}`
    await run({ argv: ['ip', 'netns', 'add', namespace] })
    await ipBatch(host.namespace, [
      `link add ${hostInterface} up ${mtu} type veth peer name eth0 ${mtu} address ${mac} netns ${namespace}`,
    ])
    await ipBatch(namespace, [
      'link set lo up',
      `address add ${address}/${SUBNET_PREFIX} dev eth0`,
      'link set eth0 up',
    ])
    // As the sets have it: the switch passes on unfinished checksums, and drops them at a tunnel.
    await runIn(`/run/netns/${namespace}`, ['ethtool', '-K', 'eth0', 'tx', 'off'])
    return { namespace, hostInterface }
  }

  async removeGuest(guest: Guest): Promise<void> {
    await run({ argv: ['ip', 'netns', 'del', guest.namespace] })
  }

  /** Tells each guest the MACs of the others: an ARP that fails is repeated only after a second. */
  async introduce(guests: readonly (Address & { readonly guest: Guest })[]): Promise<void> {
    for (const { guest, address: own } of guests) {
      const others = guests.filter(({ address }) => address !== own)
      await ipBatch(
        guest.namespace,
        others.map(({ address, mac }) => `neighbour replace ${address} lladdr ${mac} dev eth0`),
      )
    }
  }

  // ---- sets ----

  /** Asks for a set of one sleeping container on a host. */
  createSet(asked: {
    readonly name: string
    readonly host: StageHost
    readonly port?: string
    readonly cpuMillis?: number
    readonly memoryBytes?: number
  }): Promise<Operation> {
    const { name, host, port, cpuMillis = 100, memoryBytes = 32 * 2 ** 20 } = asked
    return this.tenant.setCreate({
      body: {
        name,
        network: NETWORK,
        ...(port === undefined ? { subnet: SUBNET } : { port }),
        cpuMillis,
        memoryBytes,
        containers: [
          { name: 'main', image: IMAGE, command: ['sleep', '1000000'], stopTimeoutMs: 0 },
        ],
        placement: { host: host.name },
      },
    })
  }

  /** Waits for the end of an operation; rejects if it did not end well. */
  async done(operation: Operation): Promise<void> {
    const signal = AbortSignal.timeout(OPERATION_TIMEOUT_MS)
    const ended = await this.tenant.waitOperation(operation.id, { signal })
    const { kind, state, reason, resource } = ended
    if (state !== 'done')
      throw new Error(`${kind} of ${resource.name} ended ${state}: ${JSON.stringify(reason)}`)
  }

  async runSet(asked: Parameters<Stage['createSet']>[0]): Promise<SetView> {
    await this.done(await this.createSet(asked))
    return this.tenant.setShow({ params: { id: asked.name } })
  }

  async removeSet(name: string): Promise<void> {
    await this.done(await this.tenant.setRemove({ params: { id: name } }))
  }

  /** Path of the network namespace of a set that runs on this host. */
  async namespaceOfSet(host: StageHost, set: SetView): Promise<string> {
    const containers = await host.docker.containers.list({ label: [`nubo.set=${set.id}`] })
    for (const { id } of containers) {
      const { pid, networkMode } = await host.docker.containers.inspect(id)
      if (networkMode === 'none' && pid !== null) return `/proc/${pid}/ns/net`
    }
    throw new Error(`set ${set.name} does not run on ${host.name}`)
  }
}

/** Runs `ip` in a named namespace with one command per line. */
export async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  await run({ argv: ['ip', '-n', namespace, '-batch', '-'], input: `${lines.join('\n')}\n` })
}

/** Runs a program in a network namespace, by path, to its end. */
export async function runIn(
  netns: string,
  argv: Argv,
  timeoutMs = PROGRAM_TIMEOUT_MS,
): Promise<string> {
  return (await run({ argv, netns, timeoutMs })).stdout
}

function guestNamespace(number: number): string {
  return `nbb${process.pid}-${number}`
}

async function makeTenant(lab: Lab): Promise<Client> {
  const operator = lab.client()
  await operator.projectCreate({ body: { name: PROJECT } })
  const { secret } = await operator.tokenCreate({ body: { name: PROJECT, project: PROJECT } })
  const { servers } = lab.access()
  return createClient({ servers, token: secret, clock: systemClock, random: systemRandom })
}

export const ofProject = { project: PROJECT }

function hostsOf(lab: Lab, status: LabStatus): [StageHost, StageHost] {
  const [first, second] = status.hosts.map(({ name, namespace, vtepAddress }): StageHost => {
    const folders = lab.home.host(name)
    const docker = new DockerClient({ socketPath: folders.dockerSocket })
    return { name, namespace, vtep: vtepAddress, folders, docker }
  })
  if (first === undefined || second === undefined) throw new Error('the lab has no two hosts')
  return [first, second]
}

/** The smallest root file system that can sleep, as a tar. */
async function busyboxTar(folder: string): Promise<Uint8Array> {
  const root = join(folder, 'root')
  for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp'])
    mkdirSync(join(root, name), { recursive: true })
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
  for (const name of ['sh', 'sleep', 'ping']) symlinkSync('busybox', join(root, 'bin', name))
  const file = join(folder, 'root.tar')
  await run({ argv: ['tar', '-C', root, '-cf', file, '.'] })
  return readFileSync(file)
}

async function* once(bytes: Promise<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield await bytes
}
