import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '@nubo/contracts'
import {
  createSimulatedHost,
  joinRegion,
  serverImageTokens,
  webSocketConnector,
  webSocketStreamDialer,
  type Identity,
  type SimulatedHost,
  type SimulatedHostOptions,
} from '@nubo/host-agent'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import type { TestRegion } from './region.ts'
import { waitUntil } from './wait.ts'

export interface HostAsked {
  readonly name: string
  readonly rack?: string
  readonly zone?: string
  readonly labels?: Record<string, string>
  readonly roles?: ('compute' | 'gateway' | 'storage')[]
  readonly capacity?: SimulatedHostOptions['capacity']
  readonly sets?: SimulatedHostOptions['sets']
  readonly contract?: SimulatedHostOptions['contract']
  /** Index of the server that its agent dials first. */
  readonly server?: number
}

export interface JoinedHost {
  readonly name: string
  readonly id: string
  readonly identity: Identity
  readonly simulated: SimulatedHost
}

let hostsJoined = 0

/** Invites a host and joins it for real: token, key, certificate, mTLS session. Resolves when it is ready. */
export async function joinHost(region: TestRegion, asked: HostAsked): Promise<JoinedHost> {
  const { name, rack, zone, labels, roles } = asked
  const invited = await region.operator.hostInvite({
    body: {
      name,
      ...(rack === undefined ? {} : { rack }),
      ...(zone === undefined ? {} : { zone }),
      ...(labels === undefined ? {} : { labels }),
      ...(roles === undefined ? {} : { roles }),
    },
  })
  const stateDir = join(region.folder, name)
  mkdirSync(stateDir, { mode: 0o700 })
  const identity = await joinRegion({ token: invited.token, stateDir, clock: systemClock })
  const number = ++hostsJoined
  const { servers } = identity
  const first = servers[asked.server ?? 0]
  if (first === undefined) throw new Error('there is no such server')
  const simulated = createSimulatedHost({
    hostId: identity.hostId,
    clock: systemClock,
    random: systemRandom,
    connector: webSocketConnector(() => identity),
    // The first one tells it of the others.
    servers: [first],
    streamDialer: webSocketStreamDialer(() => identity),
    imageTokens: serverImageTokens({
      clock: systemClock,
      identity: () => identity,
      servers: () => servers,
    }),
    vtepAddress: `10.200.${number >> 8}.${number & 255}`,
    log: silentLog,
    ...(asked.capacity === undefined ? {} : { capacity: asked.capacity }),
    ...(asked.contract === undefined ? {} : { contract: asked.contract }),
    ...(asked.sets === undefined ? {} : { sets: asked.sets }),
  })
  region.onClose(() => simulated.close())
  simulated.start()
  await hostState(region, name, 'ready')
  return { name, id: identity.hostId, identity, simulated }
}

/** Waits until every server sees the host in this state. */
export async function hostState(
  region: TestRegion,
  name: string,
  state: Host['state'],
): Promise<Host> {
  const hosts = await Promise.all(
    region.servers.map((_server, index) =>
      waitUntil(
        () => region.via(index).hostShow({ params: { id: name } }),
        (host) => host.state === state,
        { what: `host ${name} is ${state}` },
      ),
    ),
  )
  const [host] = hosts
  if (host === undefined) throw new Error('the region has no servers')
  return host
}
