/** What benches with simulated hosts stand on: a control side, hosts that pretend, and a tenant with networks. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '@nubo/client'
import { busyboxRootTar, SimulatedHosts } from '@nubo/lab'
import { ControlSide } from './control-side.ts'

const CONNECTED_TIMEOUT_MS = 300_000
const PROJECT = 'bench'
export const IMAGE = 'busybox'
/** Hosts know every port of their networks, so what a change costs depends on how large networks are. */
const NETWORKS = 300
const CALLS_AT_ONCE = 16

export class SimulatedStage {
  readonly control: ControlSide
  readonly hosts: SimulatedHosts
  /** Of a member of the project, one for each server. */
  readonly tenants: readonly Client[]

  private constructor(parts: {
    control: ControlSide
    hosts: SimulatedHosts
    tenants: readonly Client[]
  }) {
    this.control = parts.control
    this.hosts = parts.hosts
    this.tenants = parts.tenants
  }

  /** All hosts are connected when it resolves. What it started is gone if it rejects. */
  static async start(options: { hosts: number; signal: AbortSignal }): Promise<SimulatedStage> {
    const { hosts: count, signal } = options
    const control = await ControlSide.start()
    let hosts: SimulatedHosts | undefined
    try {
      hosts = await SimulatedHosts.start({
        client: control.operator(),
        count,
        prefix: 'sim',
        setStartMs: 0,
        signal,
      })
      await untilConnected(hosts, signal)
      const tenants = await makeTenants(control)
      return new SimulatedStage({ control, hosts, tenants })
    } catch (error) {
      await hosts?.stop()
      await control.close()
      throw error
    }
  }

  /** Ends all and removes it. Idempotent. */
  async close(): Promise<void> {
    await this.hosts.stop()
    await this.control.close()
  }
}

/** Networks are used in turn. */
export function networkOf(number: number): { network: string; subnet: string } {
  const at = number % NETWORKS
  return { network: `net-${at}`, subnet: `net-${at}` }
}

export async function untilConnected(hosts: SimulatedHosts, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + CONNECTED_TIMEOUT_MS
  for (;;) {
    signal.throwIfAborted()
    const { asked, connected, failure } = hosts.status()
    if (failure !== null) throw new Error(`a simulated host could not join: ${failure}`)
    if (connected === asked) return
    if (performance.now() > deadlineMs) throw new Error(`${connected} of ${asked} hosts connected`)
    await sleep(100)
  }
}

async function makeTenants(control: ControlSide): Promise<Client[]> {
  const operator = control.operator()
  await operator.projectCreate({ body: { name: PROJECT } })
  const { secret } = await operator.tokenCreate({ body: { name: PROJECT, project: PROJECT } })
  const tenants = control.apis.map((_api, index) => control.client(secret, index))
  const [tenant] = tenants
  if (tenant === undefined) throw new Error('there is no server')
  const tar = await busyboxRootTar()
  await tenant.imageImport({
    query: { name: IMAGE, command: ['sh'] },
    open: async function* () {
      yield tar
    },
  })
  const numbers = Array.from({ length: NETWORKS }, (_none, at) => at).values()
  const makeSome = async (): Promise<void> => {
    for (const number of numbers) {
      const { network, subnet } = networkOf(number)
      await tenant.networkCreate({ body: { name: network, cidr: '10.0.0.0/16' } })
      await tenant.subnetCreate({ body: { network, name: subnet, cidr: '10.0.0.0/20' } })
    }
  }
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, makeSome))
  return tenants
}
